"""When two questions are the same one. Pure."""

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

# Another number whenever what is kept of an answer changes its shape: a release neither joins a flight of the
# one before nor reads its cache.
FORMAT = 1


def identity(
    *,
    tenant_id: UUID,
    prompt_key: str,
    prompt_version_id: UUID,
    variables: Mapping[str, Any],
    max_tokens: int,
    parameters: Mapping[str, Any],
    model_class: str,
) -> str:
    """A SHA-256, in hex, that two questions share only if everything that shapes their answers is equal.

    Variables and parameters count as the JSON that a row keeps of them: the order of keys doesn't matter, a
    Decimal is its text, and 1, 1.0, "1" and true are four things. Texts are compared code point by code
    point: an accented letter that is written as one or as two of them reaches the model in different bytes,
    and so asks different questions. Raises TypeError or ValueError for what JSON can't hold, NaN included.
    """
    question = [
        FORMAT,
        str(tenant_id),
        prompt_key,
        str(prompt_version_id),
        variables,
        max_tokens,
        parameters,
        model_class,
    ]
    text = json.dumps(question, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_stored)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _stored(value: object) -> str:
    """What Django's encoder of JSON makes of it: milliseconds, and Z for UTC."""
    if isinstance(value, datetime | time):
        text = value.isoformat()
        if value.microsecond:
            text = text[: text.index(".") + 4] + text[text.index(".") + 7 :]
        return f"{text[:-6]}Z" if isinstance(value, datetime) and text.endswith("+00:00") else text
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise TypeError(f"a {type(value).__name__} can't be part of a question: JSON has no such thing")
