"""What costs tell of single calls: usage above what was held."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from apps.common.money import LEDGER_CURRENCY, plain
from apps.costs.alert_rules.reading import rows
from apps.costs.alert_rules.wording import money
from apps.notifications.rules import Finding

# What turned out to cost more than was held is looked at for so long.
FOUND_LATE = timedelta(days=1)

# A hold's entries have its `occurred_at`, so they are found in one partition, whichever it is.
_ABOVE_BOUND = """
SELECT hold.tenant_id, hold.id, hold.provider, hold.model, hold.bound, spent.amount
FROM costs_hold AS hold
CROSS JOIN LATERAL (
    SELECT sum(entry.amount) AS amount FROM costs_ledgerentry AS entry
    WHERE entry.occurred_at = hold.occurred_at AND entry.generation_id = hold.generation_id
      AND entry.attempt = hold.attempt
) AS spent
WHERE hold.above_bound_at >= %s AND spent.amount > hold.bound
"""


def usage_above_bound(now: datetime) -> Iterator[Finding]:
    """Attempts that cost more than the most that was held for them: the bound was reckoned wrongly."""
    for tenant, hold, provider, model, bound, amount in rows(_ABOVE_BOUND, [now - FOUND_LATE]):
        yield Finding(
            tenant_id=tenant,
            subject=str(hold),
            message=(
                f"A call of {model} at {provider} cost {money(amount)}; {money(bound)} were held for it."
            ),
            data={"spent": plain(amount), "bound": plain(bound), "currency": LEDGER_CURRENCY},
        )
