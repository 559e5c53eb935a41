"""How soon after a blow each account sends again, and how long an attempt stays open."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import psycopg

from apps.messaging.timing import LATEST_ARRIVAL, LEASE
from tests.resilience.backlog import Backlog
from tests.resilience.verdict import Arrival

# What an account of which the victim held something may lose beyond its next slot.
HELD_SECONDS = 20.0
# By how long an attempt may outlast its lease.
_GRACE_SECONDS = 10.0
_LATEST_ARRIVAL = LATEST_ARRIVAL.total_seconds()
# Of those that are late, so many are named.
_SHOWN = 3


@dataclass(frozen=True)
class Blow:
    """A fault, and what was under way at that moment. Times are in seconds since 1970."""

    name: str
    at: float
    # Seconds that accounts of which the victim held nothing may take.
    bound: float
    # Of each account, the messages under way; whose they are can't be told, so all count as the victim's.
    held: Mapping[str, frozenset[str]]
    # Accounts with messages that may go.
    waiting: frozenset[str]
    reachable_at: float

    def describe(self) -> str:
        away = self.reachable_at - self.at
        return (
            f"{self.name:<8}  back after {away:.1f} s; {len(self.held)} accounts held,"
            f" {len(self.waiting)} waiting"
        )

    def latest(
        self, account: str, arrivals: Sequence[Arrival], doubted: Set[str], *, count: int, seconds: float
    ) -> float:
        """When the account has to have sent again; `arrivals` are its own."""
        held = self.held.get(account, frozenset())
        before = [arrival for arrival in arrivals if arrival.at <= self.at]
        # What hasn't arrived takes a slot all the same, from now on at the latest.
        pending = len(held - {arrival.key for arrival in before})
        # Of what nobody saw arrive it is only known when that was at the latest.
        stamps = [arrival.at + _LATEST_ARRIVAL * (arrival.key in doubted) for arrival in before]
        times = sorted(stamps + [self.at] * pending)
        slot = times[-count] + seconds if len(times) >= count else self.at
        return max(slot, self.reachable_at) + (HELD_SECONDS if held else self.bound)


def describe_lateness(
    backlog: Backlog,
    blows: Sequence[Blow],
    arrivals: Sequence[Arrival],
    *,
    doubted: Set[str],
    slack: float,
) -> str:
    """All blows in words, each with the accounts that took too long after it; empty if none did.

    A blow that follows gives its own time. `doubted` are the messages with an attempt of which nobody heard,
    `slack` is what each account may take longer on a machine with other things to do, in seconds.
    """
    by_account: defaultdict[str, list[Arrival]] = defaultdict(list)
    for arrival in sorted(arrivals, key=lambda each: each.at):
        by_account[arrival.account].append(arrival)
    lines, anybody = [], False
    for number, blow in enumerate(blows):
        late = []
        for account in blow.waiting:
            own = by_account[account]
            latest = blow.at
            for each in blows[number:]:
                if each.at > latest:
                    break
                own_time = each.latest(account, own, doubted, count=backlog.count, seconds=backlog.seconds)
                latest = max(latest, own_time + slack)
            again = next((arrival.at for arrival in own if arrival.at > blow.at), float("inf"))
            if again > latest:
                kind = "held" if account in blow.held else "free"
                words = f"{account} ({kind}) after {again - blow.at:.1f} s, not {latest - blow.at:.1f} s"
                late.append((again - latest, words))
        anybody = anybody or bool(late)
        worst = "".join(f", {words}" for _, words in sorted(late, reverse=True)[:_SHOWN])
        lines.append(f"{blow.at - blows[0].at:6.1f} s  {blow.describe()}; {len(late)} late{worst}")
    return "\n".join(lines) if anybody else ""


@dataclass
class Attempts:
    """How long attempts are open, seen from outside: from one look at the database to another."""

    backlog: Backlog
    # Accounts whose messages may stay unknown.
    without_look_up: frozenset[str] = frozenset()
    # The messages of which it was unknown for a while what has become of them.
    doubted: set[str] = field(default_factory=set)
    _seen: dict[tuple[str, int], tuple[float, float, str]] = field(default_factory=dict)

    def look(self) -> None:
        """Note what is open now; nothing while the database is away."""
        now = time.time()
        try:
            rows = self.backlog.under_way()
        except psycopg.OperationalError:
            return
        for row in rows:
            first = self._seen.get((row.id, row.attempt), (now,))[0]
            # Some are looked up as soon as they are given up.
            if row.state == "unknown" or now - first > _LATEST_ARRIVAL:
                self.doubted.add(row.id)
            if row.state == "unknown" and row.account in self.without_look_up:
                continue
            self._seen[row.id, row.attempt] = (first, now, row.state)

    def overdue(self) -> list[str]:
        """The attempts that were open for longer than their lease and the grace, in words."""
        most = LEASE.total_seconds() + _GRACE_SECONDS
        return [
            f"attempt {attempt} at {message} was {state} for {last - first:.1f} s"
            for (message, attempt), (first, last, state) in self._seen.items()
            if last - first > most
        ]
