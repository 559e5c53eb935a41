"""Answer a chat-completions request: the same request gets the same answer."""

import hashlib
import json
import random
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from apps.sandbox.ai.chat_request import answer_limit
from apps.sandbox.ai.errors import bad_request
from apps.sandbox.ai.schema import SchemaError, make_data
from apps.sandbox.ai.schema_values import text_for
from apps.sandbox.ai.text import Voice, listen
from apps.sandbox.ai.tokens import pieces, prompt_parts
from apps.sandbox.randomness import generator

# What doesn't change an answer.
_IMMATERIAL = frozenset({"stream", "stream_options", "user", "metadata", "store", "service_tier", "n"})
_QUOTED_NAME = re.compile(r'"([A-Za-z_]{2,40})"\s*:')


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer, in tokens; with a `function` they are the arguments that this tool is called with."""

    index: int
    tokens: tuple[str, ...]
    finish_reason: str
    function: str | None = None

    @property
    def call_id(self) -> str:
        return (
            f"call_{self.index}_{hashlib.blake2b(''.join(self.tokens).encode(), digest_size=8).hexdigest()}"
        )

    def message(self) -> dict[str, Any]:
        """The message as the API gives it."""
        text = "".join(self.tokens)
        if self.function is None:
            return {"role": "assistant", "content": text, "refusal": None}
        call = {
            "id": self.call_id,
            "type": "function",
            "function": {"name": self.function, "arguments": text},
        }
        return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}


@dataclass(frozen=True, slots=True)
class Completion:
    """The answers to one request, and what they are billed by."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    prompt_tokens: int
    cached_tokens: int

    @property
    def completion_tokens(self) -> int:
        return sum(len(choice.tokens) for choice in self.choices)

    def usage(self) -> dict[str, Any]:
        """The usage as the API gives it."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }


def complete(
    body: dict[str, Any], *, model: str, prompt_tokens: int, cached_tokens: int, filtered: bool = False
) -> Completion:
    """Answer a valid request; `filtered` answers are empty, as those that a provider's filter stopped.

    Raises ProviderError for a schema that makes no sense.
    """
    material = {name: value for name, value in body.items() if name not in _IMMATERIAL}
    digest = hashlib.blake2b(
        json.dumps([model, material], sort_keys=True).encode(), digest_size=12
    ).hexdigest()
    voice = listen(prompt_parts(body))
    if filtered:
        choices = tuple(Choice(index, (), "content_filter") for index in range(body.get("n") or 1))
    else:
        choices = tuple(
            _choice(body, index, voice, generator(f"{digest}:{index}")) for index in range(body.get("n") or 1)
        )
    return Completion(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        created=int(time.time()),
        model=model,
        choices=choices,
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
    )


def _choice(body: dict[str, Any], index: int, voice: Voice, rng: random.Random) -> Choice:
    function = _wanted_function(body)
    if function is not None:
        text = _data(function.get("parameters", {}), voice, rng)
    else:
        text = _before_stop(_text(body, voice, rng), body.get("stop"))
    tokens = pieces(text)
    limit = answer_limit(body)
    cut_short = limit is not None and len(tokens) > limit
    finish_reason = "length" if cut_short else "stop"
    # A named function is answered with "stop", a required one with "tool_calls".
    if function is not None and not cut_short and body["tool_choice"] == "required":
        finish_reason = "tool_calls"
    return Choice(
        index=index,
        tokens=tuple(tokens[:limit]),
        finish_reason=finish_reason,
        function=function["name"] if function else None,
    )


def _text(body: dict[str, Any], voice: Voice, rng: random.Random) -> str:
    form = body.get("response_format") or {"type": "text"}
    match form["type"]:
        case "json_schema":
            return _data(form["json_schema"]["schema"], voice, rng)
        case "json_object":
            names = dict.fromkeys(name for part in prompt_parts(body) for name in _QUOTED_NAME.findall(part))
            return json.dumps({name: text_for(name, voice=voice, rng=rng) for name in names or ("text",)})
    return voice.message(rng)


def _data(schema: dict[str, Any], voice: Voice, rng: random.Random) -> str:
    try:
        return json.dumps(make_data(schema, voice=voice, rng=rng))
    except SchemaError as error:
        raise bad_request(f"Invalid schema: {error}", param="response_format") from error


def _wanted_function(body: dict[str, Any]) -> dict[str, Any] | None:
    """The function that the request insists on; left to choose, the stand-in answers in text."""
    tools, choice = body.get("tools"), body.get("tool_choice")
    if not tools or choice in (None, "auto", "none"):
        return None
    functions: list[dict[str, Any]] = [tool["function"] for tool in tools]
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        return next((function for function in functions if function["name"] == name), None)
    return functions[0]


def _before_stop(text: str, stop: object) -> str:
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    ends = [text.find(each) for each in stops if isinstance(each, str) and each]
    return text[: min((end for end in ends if end >= 0), default=len(text))]
