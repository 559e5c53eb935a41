"""A tenant's newest alerts over the API, where there are many, against a plain reading of the same rows."""

from collections.abc import Iterator
from contextlib import contextmanager

from huntaze.stack import Stack
from tests.performance.harness import Benchmark, Sides
from tests.performance.reporting import Year
from tests.performance.running import measure, say

ALERTS_OF_A_TENANT = 2_000
_TIMES = 40
_FILL = """
WITH made AS (
    INSERT INTO notifications_alert (id, created_at, tenant_id, rule, subject, period, level, message, data)
    SELECT uuidv7(), now(), tenant.id, 'daily_cost', '', number::text, 'warning', 'A dear day.',
        '{"spent": "61"}'
    FROM tenants_tenant AS tenant, generate_series(1, %s) AS number
    ON CONFLICT DO NOTHING
    RETURNING id, tenant_id
)
INSERT INTO notifications_delivery (id, created_at, tenant_id, alert_id, channel, target, state, attempts,
    sent_at, error)
SELECT uuidv7(), now(), tenant_id, id, 'email', 'owner@example.com', 'sent', 1, now(), '' FROM made
"""
_PAGE = """
SELECT * FROM (
    SELECT * FROM notifications_alert WHERE tenant_id = %s AND created_at >= %s AND created_at < %s + 2
    ORDER BY id DESC LIMIT 51
) AS alert LEFT JOIN notifications_delivery AS delivery ON delivery.alert_id = alert.id
"""


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    """Ours through the API; beside it, how long it takes to evaluate all rules of all tenants once."""
    year = Year(stack)
    with year.ledger.connection() as connection:
        connection.execute(_FILL, [ALERTS_OF_A_TENANT])
        connection.execute("VACUUM ANALYZE notifications_alert, notifications_delivery")

    def ours() -> float:
        looked = measure("rules_load", str(_TIMES), environment=stack.environment)
        say(f"all rules of all tenants are evaluated in {looked:.0f} ms, p95")
        return year.ours("alerts")

    yield Sides(ours=ours, peer=lambda: year.peer(_PAGE, [(year.today, year.today)]))


BENCHMARK = Benchmark(
    name="costs.alerts",
    peer_name="a plain reading of the same rows, without the API",
    unit="ms, p95",
    sides=sides,
    processes=("web",),
    data="year",
    rounds=3,
)
