"""JSON as the database can keep it."""

import json
import math
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

MAX_DEPTH = 32


class StrictJSONParser(JSONParser):
    """JSON in UTF-8 (RFC 8259) without what PostgreSQL can't store or what is no number.

    So no view has to think of NUL characters, of halves of surrogate pairs, of 1e400 (which Python reads as
    infinity) or of a document nested so deeply that walking it fails. A name given twice is refused too:
    which of the values was meant, nobody can know.
    """

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        try:
            document = json.loads(
                stream.read().decode(), parse_constant=_refuse_constant, object_pairs_hook=_without_repeats
            )
        except RecursionError:
            raise _too_deep() from None
        except ValueError as error:
            raise ParseError(f"The body isn't valid JSON: {error}.") from None
        _check(document, depth=1)
        return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!a} is given twice")
        found[name] = value
    return found


def _check(value: Any, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ParseError("A number is too large.")
    elif isinstance(value, list):
        for item in value:
            _check(item, depth=depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            _check_text(name)
            _check(item, depth=depth + 1)


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ParseError("A text contains a NUL character, which can't be stored.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ParseError("A text contains half of a surrogate pair, which is no character.") from None


def _too_deep() -> ParseError:
    return ParseError(f"The JSON is nested more than {MAX_DEPTH} levels deep.")
