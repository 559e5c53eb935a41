"""The pool of connections to PostgreSQL: one given back, one for a single statement, all of them dead."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from psycopg import Connection, Cursor
from psycopg.abc import PQGen
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

# As long as a connection is away for a short statement.
_AT_ONCE_S = 0.02


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


class Sent:
    """A statement that has gone out: `row_of` in two halves, for whoever has something else to do meanwhile.

    `row` has to be asked for, or `close` called, by the thread that made it. Where that thread has a
    connection, which it may want for something else, the answer is there at once. Where there is none to be
    had at once, and at a statement's first time on a connection, most of it is done by `row`.
    """

    def __init__(self, statement: str, values: list[Any]) -> None:
        self._statement, self._values = statement, values
        self._row: dict[str, Any] | None = None
        self._cursor: _Cursor | None = None
        self._open = ExitStack()
        if connection.connection is not None:
            self._row = row_of(statement, values)
            return
        with ExitStack() as stack:
            try:
                self._lent = stack.enter_context(_lent_connection(timeout=_AT_ONCE_S))
                cursor = stack.enter_context(_Cursor(self._lent, row_factory=dict_row))
                with connection.wrap_database_errors:
                    cursor.send(statement, values)
            except (OperationalError, InterfaceError):
                # Whatever it is, `row` meets it again.
                return
            self._cursor, self._open = cursor, stack.pop_all()

    def row(self) -> dict[str, Any]:
        """What `row_of` returns, each time that it is asked."""
        if self._row is None:
            self._row = self._receive()
        return self._row

    def close(self) -> None:
        """Do without the answer. Unless it was heard, nobody knows whether the statement is carried out."""
        self._open.close()

    def _receive(self) -> dict[str, Any]:
        if self._cursor is not None:
            try:
                with self._open, connection.wrap_database_errors:
                    return self._cursor.receive()
            except (OperationalError, InterfaceError):
                if not self._lent.closed:
                    raise
            renew_connections()
        return row_of(self._statement, self._values)


@contextmanager
def _lent_connection(*, timeout: float | None = None) -> Iterator[Connection[Any]]:
    """The thread's connection if it has one; otherwise one of the pool's, for a single statement.

    `timeout`: how many seconds to wait for one that is free, by default the pool's.

    Django would set up the state of its own and clear it away, which takes as long as a short statement.
    """
    if connection.connection is not None:
        yield connection.connection
        return
    pool: ConnectionPool[Connection[Any]] = connection.pool  # type: ignore[attr-defined]  # PostgreSQL's alone has one
    with connection.wrap_database_errors:
        pool.open()
        lent = pool.getconn(timeout)
    try:
        if not lent.autocommit:
            lent.autocommit = True
        yield lent
    finally:
        pool.putconn(lent)


class _Cursor(Cursor[dict[str, Any]]):
    """A cursor that can wait for its answer later.

    Django's own has the whole statement, values and all, parsed and planned each time. This one has that done
    once for each connection.
    """

    def send(self, statement: str, values: list[Any]) -> None:
        """`execute`, up to where it would wait."""
        with self._conn.lock:
            self._steps = self._execute_gen(statement, values)
            self._wait = next(self._steps)

    def receive(self) -> dict[str, Any]:
        """The rest of it, and the only row."""
        with self._conn.lock:
            self._conn.wait(self._rest())
        return self.only_row()

    def only_row(self) -> dict[str, Any]:
        row = self.fetchone()
        assert row is not None
        return row

    def _rest(self) -> PQGen[None]:
        wait = self._wait
        with suppress(StopIteration):
            while True:
                wait = self._steps.send((yield wait))


def _ask(lent: Connection[Any], statement: str, values: list[Any]) -> dict[str, Any]:
    with connection.wrap_database_errors, _Cursor(lent, row_factory=dict_row) as cursor:
        cursor.execute(statement, values)
        return cursor.only_row()
