import os

import psycopg
import pytest

from apps.costs.services import rollups

_NEXT = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_OURS = """
SELECT min(backend_xid::text::bigint) FROM pg_stat_activity WHERE datname = current_database()
"""


@pytest.fixture(autouse=True)
def _other_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests' databases may be on the same server, and their transactions, of minutes, hold a run back.

    So that tests say what a run takes in, the server is asked as if ours were its only database.
    """

    def settled_before() -> int:
        with psycopg.connect(os.environ["TEST_SUPERUSER_URL"], autocommit=True) as superuser:
            ((upcoming,),) = superuser.execute(_NEXT).fetchall()
            ((oldest,),) = superuser.execute(_OURS).fetchall()
        return int(upcoming if oldest is None else min(upcoming, oldest))

    monkeypatch.setattr(rollups, "_settled_before", settled_before)
