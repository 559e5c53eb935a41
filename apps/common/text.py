"""Texts from outside as PostgreSQL can hold them."""

from typing import Any


def storable(value: Any) -> Any:
    """A text, or a JSON document's texts, without NUL and with “?” for each half of a surrogate pair."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {storable(name): storable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [storable(each) for each in value]
    return value
