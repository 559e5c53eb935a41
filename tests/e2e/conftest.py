"""What tests in a browser get."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import factories
from tests.e2e.browser import OPERATOR, PASSWORD, Visit, signed_in


@pytest.fixture
def operator() -> None:
    factories.user(email=OPERATOR, password=PASSWORD, is_staff=True, is_superuser=True)


@pytest.fixture
def visiting(operator: None, live_server: Any) -> Iterator[Callable[[], Visit]]:
    """The visit begins once the test has made its rows."""
    entered = []

    def begin() -> Visit:
        entered.append(signed_in(live_server.url))
        return entered[-1].__enter__()

    yield begin
    for each in entered:
        each.__exit__(None, None, None)
