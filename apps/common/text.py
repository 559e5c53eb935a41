"""Texts from outside, as PostgreSQL can hold them and as people can read them."""

from typing import Any
from unicodedata import bidirectional, category

from django.core.exceptions import ValidationError

# Control characters, and the separators of lines and paragraphs.
_BREAKING = {"Cc", "Zl", "Zp"}
# What begins and ends an embedding, an override or an isolate. Marks of direction alone and joiners belong to
# scripts and emoji.
_TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def storable(value: Any) -> Any:
    """A text, or a JSON document's texts, without NUL and with “?” for each half of a surrogate pair."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {storable(name): storable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [storable(each) for each in value]
    return value


def validate_name(name: str) -> None:
    """Refuses what breaks the line that a name stands in, or turns around what follows it."""
    if any(category(each) in _BREAKING or bidirectional(each) in _TURNING for each in name):
        raise ValidationError("A name is one line, without control characters and what turns text around.")
