"""Layers above the accounts that have no slot left: claims pass over them whole, one row each."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.messaging.limiter.rules import Refusal, microseconds
from apps.messaging.models import Layer, SendBlock
from apps.messaging.services.queue import Blocked
from apps.messaging.timing import LATEST_ARRIVAL

_AHEAD_US = microseconds(LATEST_ARRIVAL)
# A block that is too short costs a claim that grants nothing.
_AT_LEAST_US = 200_000


@dataclass(frozen=True, slots=True)
class Blocks:
    """What is blocked now: everything, some tenants, some users."""

    everything: bool
    users: Blocked


def read(*, now: datetime) -> Blocks:
    """The blocks that haven't ended. Those of tenants are read where accounts are (services/due.py)."""
    rows = SendBlock.objects.filter(until__gt=now).exclude(layer=Layer.TENANT)
    found = list(rows.values_list("layer", "subject_id", "until"))
    return Blocks(
        everything=any(layer == Layer.GLOBAL for layer, _, _ in found),
        users=Blocked({subject: until for layer, subject, until in found if layer == Layer.USER and subject}),
    )


def write(refusals: Iterable[Refusal], *, now: datetime) -> None:
    """Block the layers that refused, each until it has a slot again.

    What stands in the way may be on its way still, stamped with its latest arrival: it will probably have
    ended a moment from now, so that it stands there for a window from now on. The limiter knows which of a
    layer's windows that is, but not we: the shortest that it can be.
    """
    longest: dict[tuple[str, object], Refusal] = {}
    for each in refusals:
        key = (each.log.layer, each.log.subject_id)
        longest[key] = max(each, longest.get(key, each), key=lambda one: one.wait)
    rows = [
        SendBlock(
            layer=each.log.layer,
            subject_id=each.log.subject_id,
            until=now + timedelta(microseconds=_shortest(each)),
        )
        for _, each in sorted(longest.items(), key=str)
    ]
    for row in rows:
        SendBlock.objects.update_or_create(
            layer=row.layer, subject_id=row.subject_id, defaults={"until": row.until}
        )


def _shortest(refusal: Refusal) -> int:
    windows = [rule.window for rule in refusal.log.rules if refusal.wait <= rule.window + _AHEAD_US]
    return min(refusal.wait, max(_AT_LEAST_US, min(windows, default=refusal.wait)))


def forget_ended(*, now: datetime) -> int:
    """Remove the rows of blocks that have ended. Returns how many."""
    return SendBlock.objects.filter(until__lte=now).delete()[0]
