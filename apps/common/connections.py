"""The pool of connections to PostgreSQL: one given back, one for a single statement, all of them dead."""

from collections.abc import Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connection, connections
from psycopg_pool import ConnectionPool

from apps.common.pooled import KeepingConnection


def give_back_connection() -> None:
    """Return this thread's database connection to the pool, before waiting on something else.

    Thousands may wait on the network at a time, on few connections. The next query takes one again. Raises
    RuntimeError inside a transaction, which must not stay open over a wait.
    """
    if connection.in_atomic_block:
        raise RuntimeError("A transaction is open: commit it before waiting on the network.")
    if connection.connection is not None:
        connection.close()


def renew_connections() -> None:
    """Close this thread's connection and all that the pool has, once the database has restarted."""
    connection.close()
    connection.pool.drain()  # type: ignore[attr-defined]  # PostgreSQL's alone has one


def row_of(statement: str, values: Sequence[Any]) -> dict[str, Any]:
    """The columns of the only row that a statement answers. `values` are its parameters.

    Outside of a transaction it is one by itself, and is sent again if the connection turns out to be dead,
    perhaps after it was carried out. There should be few statements, since connections keep what they know
    of each.
    """
    database: Any = connections[DEFAULT_DB_ALIAS]  # PostgreSQL's has a pool
    if database.in_atomic_block:
        with database.wrap_database_errors:
            return _ask(database.connection, statement, values)
    for may_retry in (True, False):
        # The thread's connection if it has one; otherwise one of the pool's, for this statement alone: Django
        # would set up the state of its own and clear it away, which takes as long as a short statement.
        own, pool = database.connection, database.pool
        with database.wrap_database_errors:
            lent = _lent(pool) if own is None else own
        try:
            with database.wrap_database_errors:
                return _ask(lent, statement, values)
        except (OperationalError, InterfaceError):
            if not may_retry or not lent.closed:
                raise
            lent.close()  # the pool forgets one that is dead, without a word to it
        finally:
            if own is None:
                pool.putconn(lent)
        renew_connections()
    raise AssertionError("the second time it returns or raises")


def _lent(pool: ConnectionPool[KeepingConnection]) -> KeepingConnection:
    pool.open()
    return pool.getconn()


def _ask(lent: KeepingConnection, statement: str, values: Sequence[Any]) -> dict[str, Any]:
    # Django's own cursor has the whole statement, values and all, parsed and planned each time. This one has
    # that done once for each connection.
    row = lent.cursor_of(statement).execute(statement, values).fetchone()
    assert row is not None
    return row
