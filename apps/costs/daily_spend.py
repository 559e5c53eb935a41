"""A tenant's spend day by day, from the roll-ups and their tail: what forecasts are made of."""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.costs.rollup_reading import Dimension, of_range, summed

Days = dict[date, Decimal]


def of_tenant(*, tenant_id: UUID, since: date, until: date) -> Days:
    """Of all that a tenant's questions cost; days without any are left out."""
    found = summed(of_range(tenant_id, since, until, by=[Dimension.DAY]), Dimension.DAY.column)
    return {day: sums[-1] for day, *sums in found}


def by_dimension(
    *, tenant_id: UUID, since: date, until: date, by: Dimension, values: Iterable[Any]
) -> dict[Any, Days]:
    """The same for each of some providers, accounts, campaigns or users, those without spend included."""
    found: dict[Any, Days] = {each: {} for each in values}
    source = of_range(tenant_id, since, until, by=[Dimension.DAY, by])
    rows = summed(source, Dimension.DAY.column, by.column, only={by.column: list(found)})
    for day, value, *sums in rows:
        found[value][day] = sums[-1]
    return found


def filled(days: Days, *, since: date, until: date) -> list[Decimal]:
    """Every day from `since` to before `until`, zeros included."""
    return [
        days.get(since + timedelta(days=number), Decimal(0)) for number in range(max(0, (until - since).days))
    ]
