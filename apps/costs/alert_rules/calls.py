"""What costs tell of single calls: usage above what was held."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from apps.common.ids import first_id_of
from apps.common.money import LEDGER_CURRENCY, plain
from apps.costs.alert_rules.reading import rows
from apps.costs.alert_rules.wording import money
from apps.notifications.rules import Finding

# Among the holds taken in this time, one that cost more than it held is looked for.
ABOVE_BOUND_AGE = timedelta(hours=1)
# A generation may have waited for so long when its attempt is made; its entries bear the time of its making.
WAITED = timedelta(days=1)

_ABOVE_BOUND = """
SELECT hold.tenant_id, hold.id, hold.provider, hold.model, hold.bound, sum(entry.amount)
FROM costs_hold AS hold
JOIN costs_ledgerentry AS entry ON entry.occurred_at = hold.occurred_at
  AND entry.generation_id = hold.generation_id AND entry.attempt = hold.attempt
WHERE hold.id >= %s AND hold.state = 'settled' AND entry.occurred_at >= %s
GROUP BY hold.id
HAVING sum(entry.amount) > hold.bound
ORDER BY hold.id
"""


def usage_above_bound(now: datetime) -> Iterator[Finding]:
    """Attempts that cost more than the most that was held for them: the bound was reckoned wrongly."""
    since = first_id_of(now - ABOVE_BOUND_AGE)
    for tenant, hold, provider, model, bound, amount in rows(
        _ABOVE_BOUND, [since, now - ABOVE_BOUND_AGE - WAITED]
    ):
        yield Finding(
            tenant_id=tenant,
            subject=str(hold),
            message=(
                f"A call of {model} at {provider} cost {money(amount)}; {money(bound)} were held for it."
            ),
            data={"spent": plain(amount), "bound": plain(bound), "currency": LEDGER_CURRENCY},
        )
