"""What tests of the dispatch engine get."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.messaging.dispatch_world import World, simulated


@pytest.fixture
def world(settings: Any) -> Iterator[World]:
    """The services on rows of this test's own, before a platform with a clock of its own."""
    made: list[World] = []
    with simulated(settings, lambda: made[0].platform):
        made.append(World(settings, settings.REDIS_URL))
        yield made[0]
