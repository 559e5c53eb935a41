"""A day's entries into roll-ups that hold the days before, against three GROUP BYs into empty tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from huntaze.stack import Stack
from tests.performance.harness import Benchmark, Sides
from tests.performance.ledger import DAY, ENTRIES_OF_DAY, Ledger
from tests.performance.peers import plain_rollup
from tests.performance.running import RoundError, say

# That the tables have already, of which the last are written to again.
DAYS_BEFORE = 3
_GROUPS = """
SELECT (SELECT count(*) FROM costs_hourrollup), (SELECT count(*) FROM costs_dayrollup),
    (SELECT count(*) FROM costs_monthrollup), (SELECT sum(attempts) FROM costs_monthrollup)
"""


class Days:
    """Each round of ours takes in a day that is new; the peer's sums up the same day."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.entered = DAYS_BEFORE * ENTRIES_OF_DAY

    def ours(self) -> float:
        self.day += DAY
        self.ledger.enter_day(self.day, entries=ENTRIES_OF_DAY)
        self.entered += ENTRIES_OF_DAY
        with self.ledger.connection() as connection:
            before = connection.execute(_GROUPS).fetchone()
            connection.execute("CHECKPOINT")
            seconds = self.ledger.roll_up()
            after = connection.execute(_GROUPS).fetchone()
        assert before is not None
        assert after is not None
        hours, days, months, attempts = (int(each or 0) for each in after)
        if attempts != self.entered:
            raise RoundError(f"{attempts:,} attempts are in the roll-ups instead of {self.entered:,}")
        say(
            f"ours: {ENTRIES_OF_DAY:,} entries in {seconds:.2f} s: {hours - before[0]:,} groups of hours, "
            f"{days - before[1]:,} of days and {months:,} of months, which were there"
        )
        return seconds

    def peer(self) -> float:
        with self.ledger.connection() as connection:
            connection.execute("CHECKPOINT")
            seconds, groups = plain_rollup.sum_up(connection, self.day)
        hours, days, months = groups.values()
        say(f"peer: in {seconds:.2f} s: {hours:,} groups of hours, {days:,} of days, {months:,} of months")
        return seconds


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    ledger = Ledger(stack)
    ledger.populate(entries=DAYS_BEFORE * ENTRIES_OF_DAY, days=DAYS_BEFORE)
    say(f"the ledger takes {ledger.bytes_per_entry():.0f} bytes an entry, indexes included")
    days = Days(ledger)
    days.ours()  # a day that the peer may begin with
    yield Sides(ours=days.ours, peer=days.peer)


BENCHMARK = Benchmark(
    name="costs.rollup",
    peer_name="three GROUP BYs of the day into empty tables (more than 1 is slower)",
    unit="s",
    sides=sides,
    data="rollup",
    rounds=3,
    warm_up=False,
)
