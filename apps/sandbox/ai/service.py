"""The two operations, the same for both providers: answer, or meet a fault.

Faults come after authentication and validation. Whatever the model has answered is billed, even if a fault
then keeps the answer from its client.
"""

import asyncio
from dataclasses import replace

from aiohttp import web

from apps.sandbox.ai.chat import Completion, complete
from apps.sandbox.ai.chat_answers import answer, events
from apps.sandbox.ai.chat_request import check_chat_request
from apps.sandbox.ai.delivery import Call, reply, stream
from apps.sandbox.ai.embeddings import embed
from apps.sandbox.ai.errors import (
    Provider,
    ProviderError,
    azure_filtered_prompt,
    context_too_long,
    error_of_fault,
    no_such_format,
    out_of_credit,
)
from apps.sandbox.ai.models import ChatModel, EmbeddingModel
from apps.sandbox.ai.tokens import PrefixCache, prompt_parts
from apps.sandbox.ai.usage import UsageBook
from apps.sandbox.fault_routes import FaultDesk
from apps.sandbox.faults import Effect, Fault, FaultPlan
from apps.sandbox.server import cut, hang, reset

_NOTHING_ACCEPTED = {
    Effect.HANG: lambda request: hang(),
    Effect.CUT_BEFORE: cut,
    Effect.RESET: reset,
}


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
        completion = _damaged(completion, fault)
        self._usage.record(
            provider=call.provider,
            model=call.name,
            status=200,
            prompt_tokens=tokens,
            cached_tokens=completion.cached_tokens,
            completion_tokens=completion.completion_tokens,
        )
        counted = fault.effect is not Effect.NO_USAGE
        if call.body.get("stream"):
            options = call.body.get("stream_options") or {}
            include_usage = counted and bool(options.get("include_usage"))
            parts = events(completion, provider=call.provider, include_usage=include_usage)
            return await stream(call, list(parts), fault)
        document = answer(completion, provider=call.provider)
        return await reply(call, document if counted else {**document, "usage": None}, fault)

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
        if fault.effect is Effect.NO_CHOICES:
            document["data"] = []
        if fault.effect is Effect.NO_USAGE:
            del document["usage"]
        return await reply(call, document, fault)

    async def _meet(self, call: Call) -> Fault:
        """Draw the call's fault and let it happen as far as it precedes the answer. Raises ProviderError."""
        fault = self._desk.current.draw({"provider": call.provider.value, "model": call.name})
        if fault.effect in _NOTHING_ACCEPTED:
            self._usage.record(provider=call.provider, model=call.name, status=0)
            await _NOTHING_ACCEPTED[fault.effect](call.request)
        if fault.delay:
            await asyncio.sleep(fault.delay)
        error = _error(call, fault)
        if error is not None:
            self._usage.record(provider=call.provider, model=call.name, status=error.status)
            raise error
        return fault


def _error(call: Call, fault: Fault) -> ProviderError | None:
    """The refusal that the fault asks for, if it asks for one."""
    match fault.effect:
        case Effect.ERROR:
            return error_of_fault(call.provider, fault.status, fault.retry_after)
        # Azure refuses the prompt; OpenAI answers with nothing, and "content_filter" as the reason.
        case Effect.CONTENT_FILTER if call.provider is Provider.AZURE:
            return azure_filtered_prompt()
        case Effect.ERROR_EVENT if not call.body.get("stream"):
            return error_of_fault(call.provider, 500, fault.retry_after)
        case Effect.QUOTA:
            return out_of_credit()
        case Effect.CONTEXT_LENGTH:
            return context_too_long(16_385, 20_000)
        case Effect.NO_FORMAT:
            return no_such_format()
    return None


def _damaged(completion: Completion, fault: Fault) -> Completion:
    if fault.effect is Effect.NO_CHOICES:
        return replace(completion, choices=())
    if fault.effect is Effect.ANSWER_FILTER:
        stopped = [
            replace(each, tokens=each.tokens[: len(each.tokens) // 2], finish_reason="content_filter")
            for each in completion.choices
        ]
        return replace(completion, choices=tuple(stopped))
    return completion
