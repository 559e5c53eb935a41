"""What health says of the dispatcher: how it works, not whether this process may serve."""

import psycopg

from apps.messaging.services.situation import ALIVE_FOR
from apps.operations.health import connect_database

_SITUATION = """
SELECT (SELECT mode FROM messaging_dispatchepoch),
       (SELECT count(*) FROM messaging_dispatchworker WHERE seen_at > now() - %(alive)s),
       (SELECT min(holds) FROM messaging_dispatchworker WHERE seen_at > now() - %(alive)s),
       (SELECT string_agg(platform, ', ' ORDER BY platform) FROM messaging_platformstate
        WHERE breaker <> 'closed')
"""


def check_dispatch() -> str:
    """A remark where it doesn't work as usual; never down, since web servers serve without it."""
    try:
        with connect_database() as database, database.transaction():
            database.execute("SET LOCAL ROLE huntaze_system")
            row = database.execute(_SITUATION, {"alive": ALIVE_FOR}).fetchone()
    except psycopg.Error:
        return "unknown: the database does not answer"
    assert row is not None  # a SELECT without FROM
    mode, workers, holds, breakers = row
    if not workers:
        return "no dispatch worker is alive"
    remarks = [
        f"held: {holds}" if holds else "",
        "limits are decided in PostgreSQL: slower, and exact" if mode == "postgres" else "",
        f"breaker not closed: {breakers}" if breakers else "",
    ]
    return "; ".join(filter(None, remarks))
