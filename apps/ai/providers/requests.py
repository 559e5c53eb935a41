"""What is asked of a model, and the bodies that both providers understand."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

# These count their reasoning into the answer and refuse the older name of its limit.
_REASONING = re.compile(r"(o\d|gpt-5)")


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`schema` asks for JSON of that shape; `strict_format` lets the provider enforce it, where it can."""

    messages: tuple[Message, ...]
    max_tokens: int
    schema: Mapping[str, Any] | None = None
    strict_format: bool = True

    def body(self, *, model: str, named: str) -> dict[str, Any]:
        """The body for a model, by the name under which the provider has it."""
        limit = "max_completion_tokens" if _REASONING.match(model) else "max_tokens"
        body: dict[str, Any] = {
            "model": named,
            "messages": [{"role": each.role, "content": each.content} for each in self.messages],
            limit: self.max_tokens,
        }
        if self.schema is not None:
            body["response_format"] = self._format(self.schema)
        return body

    def _format(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        if not self.strict_format:
            return {"type": "json_object"}
        return {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": dict(schema), "strict": True},
        }


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts, none of them empty, to be turned into vectors; `dimensions` asks for shorter ones.

    Only the models from text-embedding-3 on can shorten; there is no output to limit or to pay.
    """

    texts: tuple[str, ...]
    dimensions: int | None = None
    max_tokens: ClassVar[int] = 0

    def body(self, *, model: str, named: str) -> dict[str, Any]:
        """The body for a model, by the name under which the provider has it."""
        body: dict[str, Any] = {"model": named, "input": list(self.texts), "encoding_format": "base64"}
        if self.dimensions is not None:
            body["dimensions"] = self.dimensions
        return body


def streamed(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same chat body, to be answered in pieces, with the usage in the last one."""
    return {**body, "stream": True, "stream_options": {"include_usage": True}}


def size(body: Mapping[str, Any]) -> int:
    """How many bytes a body has on the wire, in UTF-8."""
    return len(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())
