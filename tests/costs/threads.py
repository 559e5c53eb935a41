from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import psycopg
from django.conf import settings
from django.db import connection

Result = TypeVar("Result")

_WAITS = """
SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
               WHERE NOT granted AND datname = current_database())
"""


def at_once(number: int, work: Callable[[int], Result]) -> list[Result]:
    """Run `work` on as many threads, which start together, each on a connection of its own."""
    start = Barrier(number)

    def run(index: int) -> Result:
        start.wait()
        try:
            return work(index)
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


def a_lock_is_waited_for() -> bool:
    """By anybody, in our database."""
    with psycopg.connect(settings.DATABASE_OWNER_URL) as owner:
        return owner.execute(_WAITS).fetchone() == (True,)
