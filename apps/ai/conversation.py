"""What is said to one model in the course of its attempts. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from apps.ai.providers.requests import ChatRequest, Message


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request and what was added to it since: at most one repair, and the plainer way to ask for JSON."""

    request: ChatRequest
    repaired: bool = False

    def repair(self, *, answer: str, problem: str) -> "Conversation":
        """Show the model its answer and say what is wrong with it."""
        said = (Message("assistant", answer),) if answer else ()
        ask = Message("user", f"{problem} Answer again.")
        messages = (*self.request.messages, *said, ask)
        return Conversation(replace(self.request, messages=messages), repaired=True)

    def in_plain_json(self) -> "Conversation":
        """For models that enforce no schema (GPT-4, GPT-3.5): say it in words instead."""
        assert self.request.schema is not None
        first, *rest = self.request.messages
        said = replace(first, content=f"{first.content}\n\n{_in_words(self.request.schema)}")
        return replace(self, request=replace(self.request, messages=(said, *rest), strict_format=False))


def _in_words(schema: Mapping[str, Any]) -> str:
    return f"Answer with one JSON object that fits this JSON schema, and nothing else:\n{json.dumps(schema)}"
