"""The pool of connections to PostgreSQL: one given back, one for a single statement, all of them dead."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from psycopg import Connection, Cursor
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool


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


def row_of(statement: str, values: list[Any]) -> dict[str, Any]:
    """The columns of the only row that a statement answers. `values` are its parameters.

    Outside of a transaction it is one by itself, and is sent again if the connection turns out to be dead,
    perhaps after it was carried out.
    """
    if connection.in_atomic_block:
        return _ask(connection.connection, statement, values)
    for may_retry in (True, False):
        with _lent_connection() as lent:
            try:
                return _ask(lent, statement, values)
            except (OperationalError, InterfaceError):
                if not may_retry or not lent.closed:
                    raise
        renew_connections()
    raise AssertionError("the second time it returns or raises")


@contextmanager
def _lent_connection() -> Iterator[Connection[Any]]:
    """The thread's connection if it has one; otherwise one of the pool's, for a single statement.

    Django would set up the state of its own and clear it away, which takes as long as a short statement.
    """
    if connection.connection is not None:
        yield connection.connection
        return
    pool: ConnectionPool[Connection[Any]] = connection.pool  # type: ignore[attr-defined]  # PostgreSQL's alone has one
    with connection.wrap_database_errors:
        pool.open()
        lent = pool.getconn()
    try:
        yield lent
    finally:
        pool.putconn(lent)


def _ask(lent: Connection[Any], statement: str, values: list[Any]) -> dict[str, Any]:
    # Django's own cursor has the whole statement, values and all, parsed and planned each time. This one has
    # that done once for each connection.
    with connection.wrap_database_errors, Cursor(lent, row_factory=dict_row) as cursor:
        row = cursor.execute(statement, values).fetchone()
    assert row is not None
    return row
