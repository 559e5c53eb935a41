"""Count tokens roughly as the providers do: about four bytes of prompt, or six letters of answer, a token."""

import json
import re
from collections import OrderedDict
from typing import Any

_PIECE = re.compile(r"\s*[^\W_]{1,6}|\s*[\W_]|\s+")
# The providers cache the beginning of a prompt from this many tokens on.
_CACHED_TOKENS = 1024
_CACHED_PREFIXES = 4096


def pieces(text: str) -> list[str]:
    """The tokens of an answer; joined they are the text."""
    return _PIECE.findall(text)


def prompt_tokens(body: dict[str, Any]) -> int:
    """The tokens of messages, tools and schema; never more than their bytes."""
    characters = sum(len(part) for part in prompt_parts(body))
    extras = [body[name] for name in ("tools", "response_format") if name in body]
    if extras:
        characters += len(json.dumps(extras))
    return characters // 4 + 4 * len(body["messages"]) + 3


def prompt_parts(body: dict[str, Any]) -> list[str]:
    """The texts of all messages, in order."""
    return [part for message in body["messages"] for part in content_parts(message.get("content"))]


def content_parts(content: object) -> list[str]:
    """The texts of one message's content."""
    if isinstance(content, str):
        return [content]
    if isinstance(content, list):
        return [part["text"] for part in content if part.get("type") == "text"]
    return []


class PrefixCache:
    """Remembers how recent prompts began, to say how many tokens a provider would have cached."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    def cached_tokens(self, *, model: str, prompt: str) -> int:
        """The cached tokens of this prompt; the next one that begins like it has some."""
        if len(prompt) < _CACHED_TOKENS * 4:
            return 0
        prefix = (model, prompt[: _CACHED_TOKENS * 4])
        seen = prefix in self._seen
        self._seen[prefix] = None
        self._seen.move_to_end(prefix)
        if len(self._seen) > _CACHED_PREFIXES:
            self._seen.popitem(last=False)
        return _CACHED_TOKENS if seen else 0
