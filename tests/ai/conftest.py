"""What tests of the AI get."""

from collections.abc import Iterator

import pytest

from tests.ai import flying


@pytest.fixture(autouse=True)
def _closed_clients() -> Iterator[None]:
    yield
    flying.close_shared()
