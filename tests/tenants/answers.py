from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError

from apps.common import connections


def lose_answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Carry out each call of an SQL function, and lose its answer with its connection: it is sent again.

    Returns the functions as they were called.
    """
    called: list[str] = []
    carry_out: Callable[..., dict[str, Any]] = connections._ask

    def ask(lent: Any, statement: str, values: list[Any]) -> dict[str, Any]:
        row = carry_out(lent, statement, values)
        called.append(function := function_of(statement))
        if called.count(function) % 2:
            lent.close()
            raise OperationalError("server closed the connection unexpectedly")
        return row

    monkeypatch.setattr(connections, "_ask", ask)
    return called


def function_of(statement: str) -> str:
    """The SQL function that a statement calls for a tenant."""
    return statement.partition("LATERAL ")[2].partition("(")[0]
