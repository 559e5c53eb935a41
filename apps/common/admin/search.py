"""Search that an index answers, for tables that are too long for `icontains`."""

import re
from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q

_HEX = re.compile(r"[0-9a-f]{8,32}")


def id_range(term: str) -> tuple[UUID, UUID] | None:
    """The first and the last id that start with `term` (8 to 32 hex digits, dashes aside), or None."""
    digits = term.strip().rstrip("…").lower().replace("-", "")
    if not _HEX.fullmatch(digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def by_id(term: str, fields: Iterable[str]) -> Q:
    """Rows in which one of the `fields` starts with `term`; an empty Q where it can't be an id."""
    limits = id_range(term)
    found = Q()
    if limits:
        for field in fields:
            # Not `range`, which foreign keys don't know.
            found |= Q(**{f"{field}__gte": limits[0], f"{field}__lte": limits[1]})
    return found
