"""What is said to one model in the course of its attempts. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from apps.ai.matrix import Action, Refusal
from apps.ai.providers.outcomes import FailureKind
from apps.ai.providers.requests import ChatRequest, EmbeddingRequest, Message

# A shorter message is left whole, and an answer's limit isn't lowered to fewer tokens.
_SHORTEST_TEXT = 400
_FEWEST_TOKENS = 256
_GAP = "\n[…]\n"


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request, and other ways to put it."""

    request: ChatRequest

    def repair(self, *, answer: str, problem: str) -> "Conversation":
        """Show the model its answer and say what is wrong with it."""
        said = (Message("assistant", answer),) if answer else ()
        ask = Message("user", f"{problem} Answer again.")
        messages = (*self.request.messages, *said, ask)
        return replace(self, request=replace(self.request, messages=messages))

    def in_plain_json(self) -> "Conversation":
        """For models that enforce no schema (GPT-4, GPT-3.5): say it in words instead, among the rules."""
        assert self.request.schema is not None
        words = _in_words(self.request.schema)
        first, *rest = self.request.messages
        if first.role == "system":
            messages = (replace(first, content=f"{first.content}\n\n{words}"), *rest)
        else:
            messages = (Message("system", words), first, *rest)
        return replace(self, request=replace(self.request, messages=messages, strict_format=False))

    def shortened(self) -> "Conversation | None":
        """About half as long, for a model whose context it exceeds; None if little would be gained by it.

        The longest message loses its middle: what is asked mostly stands at either end. The system's rules
        stay whole. Where the texts are short, the answer's most tokens are too many, and are halved.
        """
        request = self.request
        said = [place for place, each in enumerate(request.messages) if each.role != "system"]
        longest = max(said, key=lambda place: len(request.messages[place].content), default=None)
        if longest is not None and len(request.messages[longest].content) > _SHORTEST_TEXT:
            messages = list(request.messages)
            messages[longest] = _without_middle(messages[longest])
            return replace(self, request=replace(request, messages=tuple(messages)))
        if request.max_tokens >= 2 * _FEWEST_TOKENS:
            return replace(self, request=replace(request, max_tokens=request.max_tokens // 2))
        return None


def reworded(
    request: ChatRequest | EmbeddingRequest, kind: str, *, answer: str, problem: str
) -> dict[Action, ChatRequest]:
    """The question in the words that the same deployment may do better with, by the action that it takes.

    Embeddings have none: the vector of half a text is another text's.
    """
    if not isinstance(request, ChatRequest):
        return {}
    chat = Conversation(request)
    if kind == FailureKind.CONTEXT_TOO_LONG and (shorter := chat.shortened()):
        return {Action.SHORTEN: shorter.request}
    if kind == FailureKind.UNSUPPORTED_FORMAT and request.schema and request.strict_format:
        return {Action.PLAIN_JSON: chat.in_plain_json().request}
    if kind == Refusal.UNUSABLE_ANSWER:
        return {Action.REPAIR: chat.repair(answer=answer, problem=problem).request}
    return {}


def _without_middle(message: Message) -> Message:
    end = len(message.content) // 4
    return replace(message, content=f"{message.content[:end]}{_GAP}{message.content[-end:]}")


def _in_words(schema: Mapping[str, Any]) -> str:
    return f"Answer with one JSON object that fits this JSON schema, and nothing else:\n{json.dumps(schema)}"
