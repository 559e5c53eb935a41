"""Which fans a campaign is for: a segment's conditions, checked and turned into a filter."""

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db.models import Q
from django.utils.dateparse import parse_datetime

from apps.common.errors import InvalidInputError

OPERATORS = {"eq": "", "gt": "__gt", "gte": "__gte", "lt": "__lt", "lte": "__lte"}


def fans_filter(segment: Mapping[str, Any]) -> Q:
    """The filter over fans that {include: {}, exclude: {}} stands for.

    A fan is in when every condition of `include` holds and, if there are any, not all those of `exclude`.
    Conditions: `{"spend": {"gte": "50"}}`, `{"last_purchase_at": {"lt": "2026-01-01T00:00:00Z"}}`,
    `{"attributes": {"vip": true}}`. A bare value means equality. Raises InvalidInputError.
    """
    if not isinstance(segment, Mapping):
        raise _invalid("segment", "a segment is an object with include and exclude")
    _only(segment, {"include", "exclude"}, where="segment")
    filters = _conditions(segment.get("include", {}), where="segment.include")
    if (excluded := segment.get("exclude", {})) != {}:
        filters &= ~_conditions(excluded, where="segment.exclude")
    return filters


def _conditions(conditions: Any, *, where: str) -> Q:
    if not isinstance(conditions, Mapping):
        raise _invalid(where, "conditions are an object, such as {“spend”: {“gte”: “50”}}")
    _only(conditions, {"spend", "last_purchase_at", "attributes"}, where=where)
    found = Q()
    for name, parse in (("spend", _decimal), ("last_purchase_at", _instant)):
        if name in conditions:
            found &= _comparisons(name, conditions[name], parse, where=f"{where}.{name}")
    if attributes := conditions.get("attributes"):
        if not isinstance(attributes, Mapping):
            raise _invalid(f"{where}.attributes", "attributes are an object, such as {“vip”: true}")
        found &= Q(attributes__contains=dict(attributes))
    return found


def _comparisons(name: str, given: Any, parse: Callable[[Any, str], Any], *, where: str) -> Q:
    comparisons = given if isinstance(given, Mapping) else {"eq": given}
    _only(comparisons, set(OPERATORS), where=where)
    found = Q()
    for operator, value in comparisons.items():
        found &= Q(**{f"{name}{OPERATORS[operator]}": parse(value, f"{where}.{operator}")})
    return found


def _decimal(value: Any, where: str) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise _invalid(where, f"“{value}” is not an amount") from error
    if not number.is_finite() or abs(number) >= Decimal(10) ** 10:
        raise _invalid(where, f"“{value}” is not an amount below 10,000,000,000")
    return number


def _instant(value: Any, where: str) -> datetime:
    try:
        instant = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise _invalid(where, f"“{value}” is not an ISO 8601 time with its zone")
    return instant


def _only(given: Mapping[str, Any], known: set[str], *, where: str) -> None:
    if unknown := sorted(set(given) - known):
        raise _invalid(where, f"“{unknown[0]}” is not known here; use {', '.join(sorted(known))}")


def _invalid(where: str, message: str) -> InvalidInputError:
    return InvalidInputError(f"{where}: {message}.", code="invalid_segment", fields={where: f"{message}."})
