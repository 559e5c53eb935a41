from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection

from apps.tenants import doors


def lose_answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Carry out each call of an SQL function, and lose its answer with its connection: it is sent again.

    Returns the functions as they were called.
    """
    called: list[str] = []
    carry_out: Callable[..., dict[str, Any]] = doors._call

    def call(*arguments: Any) -> dict[str, Any]:
        row = carry_out(*arguments)
        called.append(arguments[1])
        if called.count(arguments[1]) % 2:
            connection.connection.close()
            raise OperationalError("server closed the connection unexpectedly")
        return row

    monkeypatch.setattr(doors, "_call", call)
    return called
