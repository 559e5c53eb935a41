"""Templates in Liquid that turn into one fan's text.

They are written by AI and by tenants, so they get a small language: variables, conditions, filters whose
output grows with their input at most, no loops. A body of bounded length takes bounded time and memory.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Protocol

from liquid import Environment, FalsyStrictUndefined, Mode
from liquid.exceptions import LiquidError
from liquid.template import BoundTemplate

from apps.common.errors import InvalidInputError
from apps.common.liquid import bounded

LONGEST_TEXT = 10_000
TAGS = frozenset({"#", "assign", "case", "comment", "echo", "if", "unless"})
FILTERS = frozenset(
    {
        "abs", "append", "at_least", "at_most", "capitalize", "ceil", "date", "default", "divided_by",
        "downcase", "first", "floor", "join", "last", "lstrip", "minus", "modulo", "plus", "prepend",
        "remove", "round", "rstrip", "size", "slice", "strip", "times", "truncate", "truncatewords", "upcase",
    }
)  # fmt: skip
# What a template may name: the fan's free attributes below one name, else these alone.
VARIABLES: Mapping[str, frozenset[str]] = {
    "fan": frozenset({"name", "external_id", "attributes"}),
    "account": frozenset({"name"}),
}
_KNOWN = "fan.name, fan.external_id, fan.attributes.… and account.name"
# What Python raises inside the library's filters comes out as it is, not as a LiquidError.
_FAILURES = (LiquidError, ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class RenderError(InvalidInputError):
    """The template has no proper text for this fan."""

    code = "render_error"


class _Missing(FalsyStrictUndefined):
    """A variable without a value: it may stand in a condition or get a default, but not be written."""

    force_liquid_default = True


class _Environment(Environment):
    block_nesting_limit: ClassVar[int] = 10
    output_stream_limit: ClassVar[int | None] = 4 * LONGEST_TEXT
    local_namespace_limit: ClassVar[int | None] = 4 * LONGEST_TEXT


def _environment() -> Environment:
    environment = _Environment(tolerance=Mode.STRICT, undefined=_Missing, strict_filters=True)
    for name in set(environment.filters) - FILTERS:
        del environment.filters[name]
    environment.filters = {name: bounded(each) for name, each in environment.filters.items()}
    for name in set(environment.tags) - TAGS - {"content", "illegal", "output"}:
        del environment.tags[name]
    return environment


_ENVIRONMENT = _environment()


class Addressee(Protocol):
    """What a template may say of a fan."""

    @property
    def name(self) -> str: ...
    @property
    def external_id(self) -> str: ...
    @property
    def attributes(self) -> Mapping[str, Any]: ...


def render(body: str, *, fan: Addressee, account_name: str) -> str:
    """The text for a fan. Raises RenderError, also where a variable has neither value nor default."""
    variables = {
        "fan": {"name": fan.name, "external_id": fan.external_id, "attributes": fan.attributes},
        "account": {"name": account_name},
    }
    try:
        text = str(_parse(body).render(**variables))
    except _FAILURES as error:
        raise RenderError(f"The template can't be rendered for this fan: {_explain(error)}") from error
    return check_text(text)


def check_text(text: str) -> str:
    """The text, if it can be sent. Raises RenderError."""
    if not text.strip():
        raise RenderError("The text is empty.")
    if len(text) > LONGEST_TEXT:
        raise RenderError(f"The text has {len(text)} characters; at most {LONGEST_TEXT} can be sent.")
    return text


def check(body: str) -> list[str]:
    """What is wrong with a template, in words for its author; empty if nothing is."""
    try:
        analysis = _parse(body).analyze(include_partials=False)
    except _FAILURES as error:
        return [_explain(error)]
    problems = [
        f"{{{{ {variable} }}}} is unknown; known are {_KNOWN}."
        for uses in analysis.globals.values()
        for variable in uses
        if not _is_known(variable.segments)
    ]
    problems += [f"The filter “{name}” is unknown here." for name in analysis.filters if name not in FILTERS]
    if not body.strip():
        problems.append("The text is empty.")
    return list(dict.fromkeys(problems))


def _is_known(segments: list[Any]) -> bool:
    if len(segments) < 2 or str(segments[0]) not in VARIABLES:
        return False
    attribute = str(segments[1])
    return attribute in VARIABLES[str(segments[0])] and (attribute == "attributes") == (len(segments) > 2)


@lru_cache(maxsize=256)
def _parse(body: str) -> BoundTemplate:
    """Raises LiquidError and what else the parser may meet; ValueError if the body is too long."""
    if len(body) > LONGEST_TEXT:
        raise ValueError(f"the template is longer than {LONGEST_TEXT} characters")
    return _ENVIRONMENT.from_string(body)


def _explain(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
