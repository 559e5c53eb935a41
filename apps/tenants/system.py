"""The door for work that crosses tenants: claims, batches, sweeps, roll-ups, key look-up, the admin.

The import contract in pyproject.toml lists who may use it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

from django.db import connection

from apps.common.connections import row_of
from apps.tenants.doors import Scope, scoped_transaction


@contextmanager
def system_transaction() -> Iterator[None]:
    """A transaction that sees every tenant's rows (as the role `huntaze_system`, until its end)."""
    with scoped_transaction(Scope(role="huntaze_system")):
        yield


def call_for_system(function: str, *arguments: Any) -> dict[str, Any]:
    """Call an SQL function that first of all takes the system's role, in one round trip.

    Returns the columns of the row that it answers; it is committed by then, and is sent again if the
    connection turns out to be dead, perhaps after it was carried out. Inside a transaction it is a savepoint.
    """
    with system_transaction() if connection.in_atomic_block else nullcontext():
        return row_of(_statement(function, len(arguments)), list(arguments))


@cache
def _statement(function: str, arguments: int) -> str:
    given = ", ".join(["%s"] * arguments)
    return f"SELECT * FROM {function}({given})"  # noqa: S608  # no data in it
