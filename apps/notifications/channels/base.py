"""What a channel is given, and what it may answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Letter:
    """One alert, as a channel words it."""

    id: UUID
    rule: str
    level: str
    subject: str
    # What the subject is: "budget", where it is a budget's id; empty if it says so itself.
    subject_kind: str
    period: str
    message: str
    data: Mapping[str, Any]
    raised_at: datetime


@dataclass(frozen=True, slots=True)
class Address:
    """Where it goes. `name` is no secret; `place` (an e-mail address or a URL) and `key` may be."""

    name: str
    place: str
    key: str = ""

    def __repr__(self) -> str:
        return f"Address({self.name!r})"


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message: one alert, or a digest's. Its `id` is the same at each try."""

    id: UUID
    tenant_name: str
    address: Address
    letters: tuple[Letter, ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """The other side has taken it."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """It was surely not taken; trying again may help, after `retry_after` if that was said."""

    reason: str
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Trying again would not help: a person has to change something."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It was handed over, and no answer came: it may have arrived."""

    reason: str


Outcome = Sent | Postponed | Refused | Unknown


class Sender(Protocol):
    def __call__(self, envelope: Envelope) -> Outcome:
        """Send it, within LONGEST. Holds no database connection; only a programming error raises."""


# Slower channels end by themselves before this, so that a lease outlasts every attempt.
LONGEST = timedelta(seconds=60)

_ORDER = ("critical", "warning", "info")


def headline(envelope: Envelope) -> str:
    """One line that says what it is about, whatever characters the alerts bring along."""
    first = min(envelope.letters, key=lambda letter: _ORDER.index(letter.level))
    if len(envelope.letters) == 1:
        return one_line(f"[Huntaze] {first.level}: {first.message}", most=150)
    return one_line(f"[Huntaze] {len(envelope.letters)} alerts, {first.level}: {first.message}", most=150)


def one_line(text: str, *, most: int) -> str:
    """Without control characters, of which a line break could begin another header."""
    plain = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"
