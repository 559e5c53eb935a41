"""A platform in this process, by a clock of the test's own, and what it insists on: the dispatcher's oracle.

It knows nothing of how the limiter decides. It counts arrivals, windows by brute force, and remembers of
which attempts nobody can know whether they were accepted.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from apps.messaging.gateways.base import (
    AskAgain,
    Finding,
    Found,
    LookUp,
    NoLookUp,
    NotFound,
    Outcome,
    Request,
)
from apps.messaging.limiter.rules import CLOCK_MARGIN_US, Limit, to_stamp

Subject = tuple[str, UUID | None]


@dataclass(frozen=True)
class Grant:
    """An attempt's permission: its place in the order of grants, whom it counts for, and the limits then."""

    place: int
    subjects: frozenset[Subject]
    limits: Mapping[Subject, Limit]


@dataclass(frozen=True)
class Arrival:
    message_id: UUID
    at: int
    grant: Grant


@dataclass
class SimulatedPlatform:
    """`look_ups` says how it answers the question for a key: truthful, failing or absent."""

    look_ups: str = "truthful"
    # By how much, at most, the limiter's clock ever differed from ours, in microseconds.
    skew: int = 0
    now: datetime | None = None
    grants: dict[tuple[UUID, int], Grant] = field(default_factory=dict)
    arrivals: list[Arrival] = field(default_factory=list)
    accepted: defaultdict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    # Attempts that were written and may, for all that anybody was told, have been accepted.
    doubtful: defaultdict[UUID, set[int]] = field(default_factory=lambda: defaultdict(set))

    def written(self, request: Request) -> None:
        """The first byte of a request leaves its sender."""
        doubtful = self.doubtful[request.message_id]
        assert not doubtful, f"sent again, though attempts {doubtful} may have been accepted"
        doubtful.add(request.attempt)

    def arrive(self, request: Request, at: datetime, *, accept: bool) -> None:
        grant = self.grants[request.message_id, request.attempt]
        self.arrivals.append(Arrival(request.message_id, to_stamp(at), grant))
        self.accepted[request.message_id] += accept
        assert self.accepted[request.message_id] <= 1, "the fan got it twice"

    def refused(self, request: Request) -> None:
        """The sender was told that this attempt was not accepted, and has written so."""
        self.doubtful[request.message_id].discard(request.attempt)

    async def send(self, request: Request) -> Outcome:
        raise NotImplementedError("the test plays the senders itself")

    async def look_up(self, look_up: LookUp) -> Finding:
        if self.look_ups == "absent":
            return NoLookUp()
        if self.look_ups == "failing":
            return AskAgain(error="503")
        if self.accepted[look_up.message_id]:
            return Found(platform_id=str(look_up.message_id))
        self.doubtful[look_up.message_id].clear()
        return NotFound()

    def check_windows(self) -> None:
        """Of every arrival: with those granted before it, no window that it lies in holds more than allowed.

        So each grant is judged by the limits that were in force when it was given.
        """
        for last in self.arrivals:
            for subject, limit in last.grant.limits.items():
                earlier = [
                    other.at
                    for other in self.arrivals
                    if subject in other.grant.subjects and other.grant.place <= last.grant.place
                ]
                for count, width in self._rules(limit):
                    most = _most_around(last.at, earlier, width)
                    assert most <= count, f"{most} arrivals in {width / 1e6} s of {subject}, not {count}"

    def _rules(self, limit: Limit) -> Sequence[tuple[int, int]]:
        promised = [(limit.count, round(limit.seconds * 1_000_000)), (1, limit.min_gap_ms * 1000)]
        # What clocks differ by is covered by the margin; of short windows it is no more than a hundredth.
        return [
            (count, width - max(0, 2 * self.skew - min(CLOCK_MARGIN_US, width // 100)))
            for count, width in promised
            if width
        ]


def _most_around(at: int, times: Sequence[int], width: int) -> int:
    """The most of them in any half-open window from end - width, exclusive, to end, that `at` lies in."""
    ends = [end for end in times if end - width < at <= end]
    return max((sum(end - width < time <= end for time in times) for end in ends), default=0)
