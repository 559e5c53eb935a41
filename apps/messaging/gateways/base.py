"""What the dispatch engine asks of a platform's gateway, and the answers that it tells apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from apps.messaging.limiter.rules import Log


@dataclass(frozen=True, slots=True)
class Request:
    """One attempt of one message.

    `granted_at` and `write_by`, after which nothing is written, are in seconds of the monotonic clock.
    """

    message_id: UUID
    attempt: int
    account_id: UUID
    platform: str
    account: str
    credential: str
    recipient: str
    text: str
    price: Decimal | None
    media: Sequence[str]
    granted_at: float
    write_by: float
    # Whether it tries out if the platform works again.
    is_probe: bool
    # The limiter's logs that have a stamp of it; the account's apart, since its next slot is asked for.
    account_log: Log
    logs: tuple[Log, ...]


@dataclass(frozen=True, slots=True)
class LookUp:
    """The question whether the platform accepted a message."""

    message_id: UUID
    attempt: int
    account_id: UUID
    platform: str
    account: str
    credential: str


@dataclass(frozen=True, slots=True)
class Sent:
    platform_id: str


@dataclass(frozen=True, slots=True)
class Dead:
    """Refused for good; `reason` is the platform's code."""

    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Unauthorised:
    error: str


@dataclass(frozen=True, slots=True)
class Throttled:
    retry_after: timedelta


@dataclass(frozen=True, slots=True)
class NotConnected:
    """No connection was had, so nothing can have arrived."""

    error: str


@dataclass(frozen=True, slots=True)
class HandedBack:
    """It was too late to write anything."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have arrived; `over` tells whether it can't do so any more, since the request has ended."""

    reason: str
    error: str
    over: bool = True


Outcome = Sent | Dead | Unauthorised | Throttled | NotConnected | HandedBack | Unknown


@dataclass(frozen=True, slots=True)
class Result:
    """An attempt's outcome, and when it was known."""

    request: Request
    outcome: Outcome
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Found:
    platform_id: str


@dataclass(frozen=True, slots=True)
class NotFound:
    """A truthful “none”: the platform has no message under this key."""


@dataclass(frozen=True, slots=True)
class NoLookUp:
    """The gateway answers no look-ups."""


@dataclass(frozen=True, slots=True)
class AskAgain:
    error: str


Finding = Found | NotFound | NoLookUp | AskAgain


@dataclass(frozen=True, slots=True)
class Settled:
    """A look-up and what it found."""

    look_up: LookUp
    finding: Finding


class Gateway(Protocol):
    """One platform. Both calls run on the loop of gateways/client.py and answer every failure with a type."""

    async def send(self, request: Request) -> Outcome: ...

    async def look_up(self, look_up: LookUp) -> Finding: ...
