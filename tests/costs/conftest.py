import os

import psycopg
import pytest

from apps.costs.services import rollups
from tests.waiting import wait_until

# Transactions of the server's other databases that have written something.
_FOREIGN = """
SELECT pid, backend_xid::text FROM pg_stat_activity
WHERE backend_xid IS NOT NULL AND datname IS DISTINCT FROM current_database()
"""


@pytest.fixture(autouse=True)
def _other_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests' databases may be on the same server, and their transactions hold a run back as ours do.

    A run of the roll-ups waits until those that are open have ended; of ours it waits for none.
    """
    settled_before = rollups._settled_before

    def wait_and_look() -> int:
        with psycopg.connect(os.environ["TEST_SUPERUSER_URL"], autocommit=True) as superuser:
            before = set(superuser.execute(_FOREIGN))
            wait_until(
                lambda: before.isdisjoint(superuser.execute(_FOREIGN)),
                seconds=100,
                what="other databases' transactions to end",
            )
        return settled_before()

    monkeypatch.setattr(rollups, "_settled_before", wait_and_look)
