"""What the benchmarks of reports share: a year's ledger, and how long answers from it take."""

import time
from collections.abc import Sequence
from datetime import UTC, date, datetime

from huntaze.stack import Stack
from tests.performance.arrivals import percentile
from tests.performance.ledger import ENTRIES, Ledger
from tests.performance.running import measure, say

DAYS = 365
TIMES = 200
# Of the peer, who reads the ledger itself.
TIMES_OF_PEER = 20
# Every tenant has as many entries as any other.
TENANT = "Agency 0"


class Year:
    """A ledger of a year on one stack, and a tenant's key."""

    def __init__(self, stack: Stack) -> None:
        self.ledger = Ledger(stack)
        if not self.ledger.ask("SELECT count(*) FROM tenants_tenant"):
            self.ledger.populate(entries=ENTRIES, days=DAYS)
        size = self.ledger.bytes_per_entry()
        say(f"the ledger has {ENTRIES:,} entries of {size:.0f} bytes, indexes included")
        self._stack = stack
        self._environment = {
            **stack.environment,
            "HUNTAZE_KEY": stack.manage("create_api_key", TENANT, "--role", "analyst").strip(),
        }
        self.today = datetime.now(UTC).date()

    def ours(self, *paths: str) -> float:
        """The 95th percentile of these answers of the API, in milliseconds."""
        urls = [f"{self._stack.base_url}/api/v2/costs/{path}" for path in paths]
        return measure("report_load", str(TIMES), *urls, environment=self._environment)

    def peer(self, statement: str, spans: Sequence[tuple[date, date]]) -> float:
        """The same of a statement, which is given a tenant and the first and last day of a span."""
        tenant, took = self.ledger.ask("SELECT id FROM tenants_tenant WHERE name = %s", TENANT), []
        with self.ledger.connection() as connection:
            for number in range(TIMES_OF_PEER):
                began = time.perf_counter()
                connection.execute(statement, [tenant, *spans[number % len(spans)]]).fetchall()
                took.append(1000 * (time.perf_counter() - began))
        return percentile(took, 0.95)
