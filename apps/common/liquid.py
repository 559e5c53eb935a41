"""Liquid templates from people and from AI: strict about what they name, limited in what they may use.

Values are data and never parsed, so a variable can't bring in Liquid of its own.
"""

from collections.abc import Callable, Collection, Mapping
from functools import lru_cache, wraps
from typing import Any

from liquid import Environment, FalsyStrictUndefined
from liquid.exceptions import LiquidError
from liquid.template import BoundTemplate

from apps.common.errors import InvalidInputError

MAX_TEMPLATE_CHARACTERS = 20_000
# Filters whose result is about as long as what goes in, at most; `replace` and `split`, say, can multiply it.
_FILTERS = frozenset(
    """abs append at_least at_most capitalize ceil date default divided_by downcase first floor join last
    lstrip minus modulo plus prepend remove round rstrip size strip strip_newlines times truncate
    truncatewords upcase""".split()  # noqa: SIM905
)
_TAGS = frozenset(
    """# assign break capture case comment content continue cycle echo for if illegal liquid output
    unless""".split()  # noqa: SIM905
)


# What a filter may make. Chained without a limit, `times` alone could keep a processor busy for hours.
_LONGEST_RESULT = 100_000
_MOST_BITS = 256


def bounded(apply: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that raises ValueError where its result is a huge number or text."""

    @wraps(apply)
    def checked(*args: Any, **options: Any) -> Any:
        result = apply(*args, **options)
        if isinstance(result, int) and result.bit_length() > _MOST_BITS:
            raise ValueError("a number grows too large")
        if isinstance(result, str) and len(result) > _LONGEST_RESULT:
            raise ValueError("a text grows too long")
        return result

    return checked


class TemplateError(InvalidInputError):
    """A template can't be read or rendered; the message says where."""

    code = "template"


class _Undefined(FalsyStrictUndefined):
    """An unknown variable may be tested and given a default, but not printed."""

    force_liquid_default = True


class _Environment(Environment):
    block_nesting_limit = 10
    context_depth_limit = 10
    loop_iteration_limit = 1_000
    local_namespace_limit = 200_000
    output_stream_limit = 100_000

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        self.tags = {name: tag for name, tag in self.tags.items() if name in _TAGS}
        self.filters = {name: bounded(each) for name, each in self.filters.items() if name in _FILTERS}


_environment = _Environment(undefined=_Undefined)


def render(template: str, variables: Mapping[str, object]) -> str:
    """Fill in a template. Raises TemplateError: bad syntax, unknown variable or filter, too much output."""
    try:
        parsed = _parse(template)
        return parsed.render(variables) if "{" in template else template
    except LiquidError as error:
        raise TemplateError(_message(error)) from error
    except (ValueError, ArithmeticError) as error:  # numbers too large to print or to compute with
        raise TemplateError(str(error)) from error


def problems(template: str, allowed_roots: Collection[str] | None = None) -> list[str]:
    """What is wrong with a template, whoever fills it in; empty if nothing is.

    Its variables may start with these names; None: with any.
    """
    try:
        analysis = _parse(template).analyze()
    except TemplateError as error:
        return [error.message]
    except LiquidError as error:
        return [_message(error)]
    filters = [f"unknown filter “{name}”" for name in analysis.filters if name not in _FILTERS]
    if allowed_roots is None:
        return filters
    known = ", ".join(sorted(allowed_roots))
    variables = [
        f"unknown variable “{name}”; known are {known}"
        for name in analysis.globals
        if name not in allowed_roots
    ]
    return variables + filters


@lru_cache(maxsize=512)
def _parse(template: str) -> BoundTemplate:
    if len(template) > MAX_TEMPLATE_CHARACTERS:
        raise TemplateError(f"a template has at most {MAX_TEMPLATE_CHARACTERS} characters")
    try:
        return _environment.from_string(template)
    except LiquidError as error:
        raise TemplateError(_message(error)) from error


def _message(error: LiquidError) -> str:
    return str(error.args[0] if error.args else error).strip()
