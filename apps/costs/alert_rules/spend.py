"""What costs tell of a tenant's spend: days above a figure, and hours unlike those of past weeks."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from apps.common.money import LEDGER_CURRENCY, plain
from apps.costs.alert_rules.reading import rows, time_zones
from apps.costs.alert_rules.wording import money
from apps.costs.models import BudgetPeriod
from apps.costs.periods import period_start
from apps.notifications.rules import Finding

# A day's cost is looked at for so long after its end: most of what was asked before it is settled by then.
SETTLED_LATE = timedelta(minutes=10)

# Of its zone's present day, and of one that has just ended, each tenant's roll-up and tail: one statement,
# so that no entry is in both.
_DEAR_DAYS = """
WITH present AS (
    SELECT tenant.id AS tenant_id, zone.day
    FROM unnest(%s::text[], %s::date[]) AS zone (time_zone, day)
    JOIN tenants_tenant AS tenant USING (time_zone)
)
SELECT tenant_id, day, sum(amount)
FROM (
    SELECT present.tenant_id, present.day, rollup.amount
    FROM present JOIN costs_daywhatrollup AS rollup USING (tenant_id, day)
    UNION ALL
    SELECT present.tenant_id, present.day, tail.amount
    FROM costs_ledger_tail(NULL, %s, %s) AS tail JOIN present USING (tenant_id, day)
) AS spent
GROUP BY tenant_id, day
HAVING sum(amount) > %s
ORDER BY tenant_id, day
"""

# Weeks that an hour is compared with, and how many of them there have to be.
WEEKS, FEWEST_WEEKS = 8, 4
# A normal spread is so many times the median deviation from the median.
_SPREAD = Decimal("1.4826")

# First the tenants whose last hour cost enough to be looked at; only their past is read, by the same index.
_HOURS = """
WITH hours AS (
    SELECT * FROM unnest(%(zones)s::text[], %(back)s::int[], %(days)s::date[], %(hours)s::timestamptz[])
        AS hour (time_zone, back, day, begins_at)
), last AS MATERIALIZED (
    SELECT tenant.id AS tenant_id, tenant.time_zone, hours.day, hours.begins_at, sum(rollup.amount) AS amount
    FROM hours
    JOIN tenants_tenant AS tenant USING (time_zone)
    JOIN costs_hourrollup AS rollup
      ON rollup.tenant_id = tenant.id AND rollup.day = hours.day AND rollup.hour = hours.begins_at
    WHERE hours.back = 0
    GROUP BY tenant.id, hours.day, hours.begins_at
    HAVING sum(rollup.amount) > %(floor)s
)
SELECT last.tenant_id, last.time_zone, last.begins_at, last.amount, began.day, past.amounts
FROM last
CROSS JOIN LATERAL (SELECT min(day) AS day FROM costs_daywhatrollup WHERE tenant_id = last.tenant_id) AS began
CROSS JOIN LATERAL (
    SELECT array_agg(coalesce(
        (SELECT sum(amount) FROM costs_hourrollup AS rollup
         WHERE rollup.tenant_id = last.tenant_id
           AND rollup.day = hours.day AND rollup.hour = hours.begins_at), 0
    ) ORDER BY hours.back) AS amounts
    FROM hours
    WHERE hours.time_zone = last.time_zone AND hours.back > 0 AND hours.day >= began.day
) AS past
WHERE cardinality(past.amounts) >= %(fewest)s
ORDER BY last.tenant_id
"""


def dear_days(now: datetime) -> Iterator[Finding]:
    """Tenants whose day, by their own clock, has cost more than HUNTAZE_DAILY_COST_ALERT."""
    figure = settings.DAILY_COST_ALERT
    # What was asked just before midnight is settled after it.
    looked_at = {
        (zone, period_start(BudgetPeriod.DAY, at=at, time_zone=zone))
        for zone in time_zones()
        for at in (now, now - SETTLED_LATE)
    }
    if not looked_at:
        return
    zones, days = [zone for zone, _ in looked_at], [day for _, day in looked_at]
    for tenant, day, spent in rows(_DEAR_DAYS, [zones, days, min(days), max(days), figure]):
        yield Finding(
            tenant_id=tenant,
            period=str(day),
            message=f"{day} has cost {money(spent)}, more than {money(figure)}.",
            data={"spent": plain(spent), "figure": plain(figure), "currency": LEDGER_CURRENCY},
        )


def spend_spikes(now: datetime) -> Iterator[Finding]:
    """Tenants whose last whole hour cost far more than this hour of this weekday did in past weeks.

    Far more: by HUNTAZE_SPIKE_AMOUNT, and by HUNTAZE_SPIKE_DEVIATIONS spreads above the median. Median and
    median deviation bear it that some of the weeks had such an hour themselves. Roll-ups alone are read: they
    are a minute behind, and an hour stays the last one for sixty.
    """
    floor = settings.SPIKE_AMOUNT
    values = {**_hours(now), "floor": floor, "fewest": FEWEST_WEEKS}
    for tenant, zone, begins_at, amount, _, past in rows(_HOURS, values):
        usual = median(past)
        spread = _SPREAD * median([abs(each - usual) for each in past])
        if amount - usual < floor or amount <= usual + settings.SPIKE_DEVIATIONS * spread:
            continue
        local = begins_at.astimezone(ZoneInfo(zone))
        yield Finding(
            tenant_id=tenant,
            period=begins_at.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ"),
            message=(
                f"The hour from {local:%H:%M} on {local:%A, %Y-%m-%d} has cost {money(amount)}; this hour of"
                f" the {len(past)} weeks before usually cost {money(usual)}."
            ),
            data={
                "spent": plain(amount),
                "usual": plain(usual),
                "spread": plain(spread),
                "weeks": len(past),
                "currency": LEDGER_CURRENCY,
            },
        )


def _hours(now: datetime) -> dict[str, list[Any]]:
    """For each time zone, the last whole hour of its clock, and the same one of each of the weeks before.

    A week before, the clock may have been at another distance from UTC. An hour that it skipped then is
    compared with what came in its place; of one that it repeated, the first is taken.
    """
    found: list[tuple[str, int, date, datetime]] = []
    for zone in time_zones():
        present = _begin_of_hour(now, zone)
        last = _begin_of_hour(present.astimezone(UTC) - timedelta(minutes=1), zone)
        found.append((zone, 0, last.date(), last.astimezone(UTC)))
        for back in range(1, WEEKS + 1):
            hour = (last - timedelta(weeks=back)).replace(fold=0)  # by the clock on the wall
            found.append((zone, back, hour.date(), hour.astimezone(UTC)))
    names = ("zones", "back", "days", "hours")
    return {name: [row[index] for row in found] for index, name in enumerate(names)}


def _begin_of_hour(at: datetime, zone: str) -> datetime:
    return at.astimezone(ZoneInfo(zone)).replace(minute=0, second=0, microsecond=0)
