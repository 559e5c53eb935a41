"""The two operations, the same for both providers: answer, or meet a fault.

Faults come after authentication and validation. Whatever the model has answered is billed, even if a fault
then keeps the answer from its client.
"""

import asyncio
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from apps.sandbox.ai.chat import Completion, complete
from apps.sandbox.ai.chat_answers import answer, events
from apps.sandbox.ai.chat_request import check_chat_request
from apps.sandbox.ai.embeddings import embed
from apps.sandbox.ai.errors import Provider, ProviderError, azure_filtered_prompt, error_of_fault
from apps.sandbox.ai.models import ChatModel, EmbeddingModel
from apps.sandbox.ai.tokens import PrefixCache, prompt_parts
from apps.sandbox.ai.usage import UsageBook
from apps.sandbox.fault_routes import FaultDesk
from apps.sandbox.faults import Effect, Fault, FaultPlan
from apps.sandbox.server import cut, hang


@dataclass(frozen=True, slots=True)
class Call:
    """One valid call: `name` is the model's or the deployment's as the client calls it."""

    request: web.Request
    provider: Provider
    name: str
    body: dict[str, Any]
    request_id: str = field(default_factory=lambda: f"req_{uuid.uuid4().hex}")


class Service:
    """Answers calls, under the faults in force."""

    def __init__(self, *, desk: FaultDesk[FaultPlan], usage: UsageBook) -> None:
        self._desk = desk
        self._usage = usage
        self._prefixes = PrefixCache()

    async def chat(self, call: Call, model: ChatModel) -> web.StreamResponse:
        """Answer a chat completion. Raises ProviderError."""
        tokens = check_chat_request(call.body, model=model)
        fault = await self._meet(call)
        shown = model.name if call.provider is Provider.AZURE else call.name
        completion = complete(
            call.body,
            model=shown,
            prompt_tokens=tokens,
            cached_tokens=min(
                tokens, self._prefixes.cached_tokens(model=shown, prompt="\n".join(prompt_parts(call.body)))
            ),
            filtered=fault.effect is Effect.CONTENT_FILTER,
        )
        self._usage.record(
            provider=call.provider,
            model=call.name,
            status=200,
            prompt_tokens=tokens,
            cached_tokens=completion.cached_tokens,
            completion_tokens=completion.completion_tokens,
        )
        if call.body.get("stream"):
            return await _stream(call, completion, fault)
        return await _reply(call, answer(completion, provider=call.provider), fault)

    async def embeddings(self, call: Call, model: EmbeddingModel) -> web.StreamResponse:
        """Answer an embeddings call. Raises ProviderError."""
        document = embed(
            call.body, model=model, name=call.name if call.provider is Provider.OPENAI else model.name
        )
        fault = await self._meet(call)
        self._usage.record(
            provider=call.provider,
            model=call.name,
            status=200,
            prompt_tokens=document["usage"]["prompt_tokens"],
        )
        return await _reply(call, document, fault)

    async def _meet(self, call: Call) -> Fault:
        """Draw the call's fault and let it happen as far as it precedes the answer. Raises ProviderError."""
        fault = self._desk.current.draw({"provider": call.provider.value, "model": call.name})
        if fault.effect in (Effect.HANG, Effect.CUT_BEFORE):
            self._usage.record(provider=call.provider, model=call.name, status=0)
            await (hang() if fault.effect is Effect.HANG else cut(call.request))
        if fault.delay:
            await asyncio.sleep(fault.delay)
        error = _error(call.provider, fault)
        if error is not None:
            self._usage.record(provider=call.provider, model=call.name, status=error.status)
            raise error
        return fault


def _error(provider: Provider, fault: Fault) -> ProviderError | None:
    if fault.effect is Effect.ERROR:
        return error_of_fault(provider, fault.status, fault.retry_after)
    # Azure refuses the prompt; OpenAI answers with nothing, and "content_filter" as the reason.
    if fault.effect is Effect.CONTENT_FILTER and provider is Provider.AZURE:
        return azure_filtered_prompt()
    return None


async def _reply(call: Call, document: dict[str, Any], fault: Fault) -> web.StreamResponse:
    if fault.effect is Effect.CUT_AFTER:
        return await cut(call.request)
    body = json.dumps(document, separators=(",", ":")).encode()
    if fault.effect is Effect.MALFORMED:
        body = body[: len(body) // 2]
    headers = {"x-request-id": call.request_id, "openai-processing-ms": str(round(fault.delay * 1000))}
    return web.Response(body=body, content_type="application/json", headers=headers)


async def _stream(call: Call, completion: Completion, fault: Fault) -> web.StreamResponse:
    """Events; a cut comes after half of them, and a malformed one in the middle."""
    options = call.body.get("stream_options") or {}
    parts = list(events(completion, provider=call.provider, include_usage=bool(options.get("include_usage"))))
    middle = len(parts) // 2
    if fault.effect is Effect.MALFORMED:
        parts[middle] = b'data: {"id": \n\n'
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream; charset=utf-8", "x-request-id": call.request_id}
    )
    await response.prepare(call.request)
    for index, part in enumerate(parts):
        if index == middle and fault.effect is Effect.CUT_AFTER:
            await cut(call.request)
        await response.write(part)
        if fault.stream_gap:
            await asyncio.sleep(fault.stream_gap)
    await response.write_eof()
    return response
