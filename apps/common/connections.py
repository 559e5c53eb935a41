"""The pool of connections to PostgreSQL: one given back, one for a single statement, all of them dead."""

from collections.abc import Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connection, connections
from psycopg import Connection, Cursor
from psycopg.rows import RowMaker

# Where a connection keeps its cursors.
_KEPT = "_huntaze_cursors"


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
    perhaps after it was carried out.
    """
    database: Any = connections[DEFAULT_DB_ALIAS]  # PostgreSQL's has a pool
    if database.in_atomic_block:
        with database.wrap_database_errors:
            return _ask(database.connection, statement, values)
    for may_retry in (True, False):
        # The thread's connection if it has one; otherwise one of the pool's, for this statement alone: Django
        # would set up the state of its own and clear it away, which takes as long as a short statement.
        own = database.connection
        lent = _lent(database) if own is None else own
        try:
            with database.wrap_database_errors:
                return _ask(lent, statement, values)
        except (OperationalError, InterfaceError):
            if not may_retry or not lent.closed:
                raise
        finally:
            if own is None:
                database.pool.putconn(lent)
        renew_connections()
    raise AssertionError("the second time it returns or raises")


def _lent(database: Any) -> Connection[Any]:
    with database.wrap_database_errors:
        database.pool.open()
        lent: Connection[Any] = database.pool.getconn()
    return lent


def _ask(lent: Connection[Any], statement: str, values: Sequence[Any]) -> dict[str, Any]:
    row = _cursor(lent, statement).execute(statement, values).fetchone()
    assert row is not None
    return row


def _cursor(lent: Connection[Any], statement: str) -> Cursor[dict[str, Any]]:
    """The connection's cursor for a statement, of which there are few.

    Django's own has the whole statement, values and all, parsed and planned each time; this one has that done
    once for each connection. And it knows by then how to write these values and to read the answer's.
    """
    kept: dict[str, Cursor[dict[str, Any]]] = lent.__dict__.setdefault(_KEPT, {})
    if (cursor := kept.get(statement)) is None:
        cursor = kept[statement] = Cursor(lent, row_factory=_Named())
    return cursor


class _Named:
    """Makes rows by name, and asks for the names of the first answer alone."""

    def __init__(self) -> None:
        self._names: list[str] | None = None

    def __call__(self, cursor: Cursor[dict[str, Any]]) -> RowMaker[dict[str, Any]]:
        if self._names is None:
            self._names = [column.name for column in cursor.description or ()]
        names = self._names
        return lambda values: dict(zip(names, values, strict=True))
