"""A process that dies between two statements, without one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection


class KilledError(BaseException):
    """As if the process were gone: nothing catches it, nothing is tidied up but the connection."""


@contextmanager
def killed_before(number: int) -> Iterator[None]:
    """Die before the number-th statement; PostgreSQL then undoes what isn't committed."""
    seen = 0

    def count(execute: Any, *arguments: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == number:
            raise KilledError
        return execute(*arguments)

    with connection.execute_wrapper(count):
        try:
            yield
        except KilledError:
            connection.close()
