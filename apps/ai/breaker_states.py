"""The breakers' states as everybody sees them who only looks: metrics, health, figures.

Whoever keeps the breakers registers where to read them, in `AppConfig.ready()`.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol
from uuid import UUID


class BreakerStatus(Protocol):
    """A deployment's breaker at one moment."""

    @property
    def state(self) -> str:
        """closed, open or half_open."""

    @property
    def excluded(self) -> str | None:
        """Why no call may go there now, for people; None if one may."""

    @property
    def waits(self) -> timedelta | None:
        """How long until a probe may go; None where none has to."""

    @property
    def cool_down_left(self) -> timedelta | None:
        """How long the provider asked to be left alone, as of now."""


Source = Callable[[], Mapping[UUID, BreakerStatus]]
_sources: list[Source] = []


def register_breakers(source: Source) -> None:
    """`source` gives the statuses by the deployments' ids, and raises nothing while Redis is away."""
    _sources[:] = [source]


def breaker_statuses() -> Mapping[UUID, BreakerStatus]:
    """By the deployments' ids; one that isn't there has never been called: its breaker is closed."""
    return _sources[0]() if _sources else {}
