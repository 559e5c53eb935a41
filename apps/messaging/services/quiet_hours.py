"""Whose quiet hours a message has to wait for: the account's, or each fan's by a clock of their own."""

from datetime import datetime, time
from typing import Protocol

from apps.messaging.models import QuietZone
from apps.messaging.quiet import quiet_until


class Hours(Protocol):
    """What of an account its quiet hours depend on."""

    @property
    def quiet_start(self) -> time | None: ...
    @property
    def quiet_end(self) -> time | None: ...
    @property
    def quiet_zone(self) -> str: ...
    @property
    def time_zone(self) -> str: ...


def of_account(account: Hours, *, now: datetime) -> datetime | None:
    """When the account's own quiet hours end, if it is in them; where fans' clocks count it has none."""
    if account.quiet_zone == QuietZone.FAN:
        return None
    return _until(account, account.time_zone, now=now)


def of_fan(account: Hours, *, zone: str, now: datetime) -> datetime | None:
    """The same of a fan, whose zone may be unknown (""); none where the account's clock counts."""
    if account.quiet_zone != QuietZone.FAN:
        return None
    return _until(account, zone or account.time_zone, now=now)


def _until(account: Hours, zone: str, *, now: datetime) -> datetime | None:
    return quiet_until(now, start=account.quiet_start, end=account.quiet_end, zone=zone)
