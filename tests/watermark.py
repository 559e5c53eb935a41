"""How far the roll-ups may reach, on a server that other tests' databases share."""

import os

import psycopg

_NEXT = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
_OURS = """
SELECT min(backend_xid::text::bigint) FROM pg_stat_activity WHERE datname = current_database()
"""


def settled_before() -> int:
    """What `rollups._settled_before` would say if ours were the server's only database.

    The transactions of the others, of minutes, hold a run back, and tests couldn't say what it takes in.
    """
    with psycopg.connect(os.environ["TEST_SUPERUSER_URL"], autocommit=True) as superuser:
        ((upcoming,),) = superuser.execute(_NEXT).fetchall()
        ((oldest,),) = superuser.execute(_OURS).fetchall()
    return int(upcoming if oldest is None else min(upcoming, oldest))
