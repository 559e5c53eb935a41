"""Write a completion as a JSON answer or as server-sent events."""

import json
from collections.abc import Iterator
from typing import Any

from apps.sandbox.ai.chat import Choice, Completion
from apps.sandbox.ai.errors import Provider

_SAFE = {
    name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")
}
_FILTERED = {**_SAFE, "sexual": {"filtered": True, "severity": "medium"}}
_PROMPT_FILTER = [{"prompt_index": 0, "content_filter_results": _SAFE}]


def answer(completion: Completion, *, provider: Provider) -> dict[str, Any]:
    """The answer to a request that isn't streamed."""
    document = _head(completion, "chat.completion")
    document["choices"] = [
        {
            "index": choice.index,
            "message": choice.message(),
            "logprobs": None,
            "finish_reason": choice.finish_reason,
        }
        for choice in completion.choices
    ]
    document["usage"] = completion.usage()
    if provider is Provider.AZURE:
        document["prompt_filter_results"] = _PROMPT_FILTER
        for choice in document["choices"]:
            choice["content_filter_results"] = _found(choice["finish_reason"])
    return document


def events(completion: Completion, *, provider: Provider, include_usage: bool) -> Iterator[bytes]:
    """The events of a streamed answer, one token each.

    Azure begins with an event that has no choices and names nothing, says with each piece what its filter
    found, and gives an answer that the filter stopped an end without a delta. With `include_usage` the last
    event has no choices either.
    """
    head = _head(completion, "chat.completion.chunk")
    if include_usage:
        head["usage"] = None
    if provider is Provider.AZURE:
        nameless = {"id": "", "object": "", "created": 0, "model": ""}
        yield _event({**head, **nameless, "choices": [], "prompt_filter_results": _PROMPT_FILTER})
    for choice in completion.choices:
        for delta in _deltas(choice):
            yield _event({**head, "choices": [_chunk_choice(provider, choice, delta, None)]})
        yield _event({**head, "choices": [_chunk_choice(provider, choice, {}, choice.finish_reason)]})
    if include_usage:
        yield _event({**head, "choices": [], "usage": completion.usage()})
    yield b"data: [DONE]\n\n"


def _deltas(choice: Choice) -> Iterator[dict[str, Any]]:
    if choice.function is None:
        yield {"role": "assistant", "content": "", "refusal": None}
        for token in choice.tokens:
            yield {"content": token}
        return
    call = {"id": choice.call_id, "type": "function", "function": {"name": choice.function, "arguments": ""}}
    yield {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **call}]}
    for token in choice.tokens:
        yield {"tool_calls": [{"index": 0, "function": {"arguments": token}}]}


def _head(completion: Completion, kind: str) -> dict[str, Any]:
    return {
        "id": completion.id,
        "object": kind,
        "created": completion.created,
        "model": completion.model,
        "service_tier": "default",
        "system_fingerprint": "fp_sandbox",
    }


def _chunk_choice(
    provider: Provider, choice: Choice, delta: dict[str, Any], finish_reason: str | None
) -> dict[str, Any]:
    chunk = {"index": choice.index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    if provider is Provider.AZURE:
        chunk["content_filter_results"] = _found(finish_reason)
        if finish_reason == "content_filter":
            del chunk["delta"]
    return chunk


def _found(finish_reason: str | None) -> dict[str, Any]:
    """What Azure's filter found in an answer that ended so."""
    return _FILTERED if finish_reason == "content_filter" else _SAFE


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"
