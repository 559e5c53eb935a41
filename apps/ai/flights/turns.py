"""What a flight comes to for those who take part in it. Pure."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from apps.ai.flights.ttl import Ttl

# A leader that has died is missed after so long at most; one that lives says so in time (keeper.py).
LEASE = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Ask:
    """One caller's question. Its token names the caller: as a leader, and as one who waits.

    Whoever begins again does so with the same Ask, and hears what it was told meanwhile.

    `takes`: as a leader, it has found an answer or given up after so long. `waits`: it joins nobody who may
    still take longer than that, but leads in that one's place; None: it joins anybody.
    """

    tenant_id: UUID
    identity: str
    ttl: Ttl
    lease: timedelta = LEASE
    takes: timedelta = timedelta()
    waits: timedelta | None = None
    token: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True, slots=True)
class Hit:
    """An answer young enough to be given instead of a new one."""

    answer: dict[str, Any]
    age: timedelta


@dataclass(frozen=True, slots=True)
class Stale:
    """An older answer, for optional work that nobody can do now."""

    answer: dict[str, Any]
    age: timedelta


@dataclass(frozen=True, slots=True)
class Lead:
    """The caller asks, for itself and whoever joins. No ticket: Redis is away, so nobody can join."""

    ticket: Ask | None
    stale: Stale | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """Somebody else is asking. Unless it says more, its lease ends after `lease_left`."""

    ask: Ask
    lease_left: timedelta
    stale: Stale | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The leader's answer."""

    answer: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Inherent:
    """Why the question itself can't be answered, whoever asks."""

    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Again:
    """No word from the leader that helps others: its deadline passed, it was cancelled, its budget refused,
    or it died. Begin again; one of those who do leads."""


# What a leader ends with is what those who joined are told.
Told = Answer | Inherent | Again
Turn = Hit | Lead | Join | Answer | Inherent


@dataclass(frozen=True, slots=True)
class Begun:
    """Whose turn it is, and the answers of the calls that rode along: None where they were not asked."""

    turn: Turn
    extra: list[Any] | None

    def with_stale(self, stale: Stale | None) -> "Begun":
        """The same, for whoever leads or joins, with an older answer."""
        if isinstance(self.turn, Lead | Join):
            return replace(self, turn=replace(self.turn, stale=stale))
        return self
