"""The process's pool of connections to PostgreSQL, as tests look at it."""

from django.db import connection


def pool_is_whole() -> bool:
    """Whether all connections are back in it; not so while one that was closed is being replaced.

    For tests with `own_pool`: threads of others may have kept one.
    """
    stats = connection.pool.get_stats()  # type: ignore[attr-defined]  # Django's, of psycopg
    return bool(stats["pool_size"] == stats["pool_available"])
