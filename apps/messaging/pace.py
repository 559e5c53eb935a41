"""How fast an account may send, and when each message of its queue goes. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from uuid import UUID

from apps.common.instants import later
from apps.messaging.limiter.rules import Limit
from apps.messaging.quiet import quiet_until, when_awake

# A message rises by one level of priority in this time (services/queue.py).
AGEING = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Pace:
    """A limit, and the quiet hours of the account that it is for; `fans_sleep`: by each fan's own clock."""

    limit: Limit
    quiet_start: time | None = None
    quiet_end: time | None = None
    zone: str = "UTC"
    fans_sleep: bool = False

    def at(self, begin: datetime, number: int) -> datetime:
        """When the message goes that has `number` others before it, the first going at `begin`.

        Where the hours are the fans' own, others are written to meanwhile: only the last may have to wait.
        """
        hours = (self.quiet_start, self.quiet_end)
        if self.fans_sleep:
            end = later(begin, self._span(number))
            return quiet_until(end, start=hours[0], end=hours[1], zone=self.zone) or end
        return when_awake(begin, self._span(number), start=hours[0], end=hours[1], zone=self.zone)

    def _span(self, number: int) -> timedelta:
        most, *gaps = self.limit.rules
        gap = gaps[0].window if gaps else 0
        windows, rest = divmod(number, most.count)
        # Nobody's clock reaches further than 10,000 years.
        microseconds = windows * max(most.window, most.count * gap) + rest * gap
        return timedelta(microseconds=min(microseconds, 10_000 * 365 * 86_400 * 1_000_000))


@dataclass(frozen=True, slots=True)
class Lane:
    """An account's queued messages of one outbox (None: single ones) and priority."""

    outbox_id: UUID | None
    priority: int
    queued: int
    first: datetime
    last: datetime

    def rank(self, at: datetime) -> tuple[int, datetime, str]:
        """What it is sent by at an instant: priority less its ageing, then age."""
        return max(self.priority - (at - self.first) // AGEING, 0), self.first, str(self.outbox_id)

    def changes(self, after: datetime) -> list[datetime]:
        """When it will be due, and rise."""
        steps = (self.first + AGEING * level for level in range(self.priority + 1))
        return [step for step in steps if step > after]


@dataclass(frozen=True, slots=True)
class LaneEnd:
    """When a lane's last message goes, and how many of the account's go before it."""

    at: datetime
    ahead: int


def lane_ends(lanes: Iterable[Lane], *, pace: Pace, begin: datetime) -> dict[Lane, LaneEnd]:
    """When each of an account's lanes will be empty, if nothing is added: they are sent as claims choose.

    A lane counts as due with its first message, so that one whose messages are spread over time holds up the
    others rather too long.
    """
    left = {lane: lane.queued for lane in lanes if lane.queued}
    ends: dict[Lane, LaneEnd] = {}
    sent = before = 0
    while left:
        at = pace.at(begin, sent)
        due = [lane for lane in left if lane.first <= at]
        if not due:
            begin, before, sent = min(lane.first for lane in left), before + sent, 0
            continue
        lane = min(due, key=lambda each: each.rank(at))
        number = _until_change(left, lane, pace, begin=begin, sent=sent, at=at)
        sent += number
        left[lane] -= number
        if not left[lane]:
            del left[lane]
            ends[lane] = LaneEnd(max(pace.at(begin, sent - 1), lane.last), before + sent - 1)
    return ends


def _until_change(
    left: dict[Lane, int], lane: Lane, pace: Pace, *, begin: datetime, sent: int, at: datetime
) -> int:
    """How many of the lane's messages go in a row, until another one may be the first in turn."""
    changes = [change for each in left for change in each.changes(at)] if len(left) > 1 else []
    if not changes or pace.at(begin, sent + left[lane] - 1) < min(changes):
        return left[lane]
    fits, too_many = 1, left[lane]
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if pace.at(begin, sent + middle - 1) < min(changes):
            fits = middle
        else:
            too_many = middle
    return fits
