"""How soon after a blow each account sends again, and how long an attempt stays open."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psycopg

from apps.messaging.timing import LEASE
from tests.resilience.backlog import Backlog
from tests.resilience.verdict import Arrival

# What an account of which the victim held something may lose beyond its next slot.
HELD_SECONDS = 20.0
# By how long an attempt may outlast its lease.
_GRACE_SECONDS = 10.0


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

    def latest(self, account: str, arrivals: Sequence[Arrival], *, count: int, seconds: float) -> float:
        """When the account has to have sent again; `arrivals` are its own."""
        held = self.held.get(account, frozenset())
        before = [arrival for arrival in arrivals if arrival.at <= self.at]
        # What hasn't arrived takes a slot all the same, from now on at the latest.
        pending = len(held - {arrival.key for arrival in before})
        times = [arrival.at for arrival in before] + [self.at] * pending
        slot = times[-count] + seconds if len(times) >= count else self.at
        return max(slot, self.reachable_at) + (HELD_SECONDS if held else self.bound)


def late_accounts(
    backlog: Backlog, blows: Sequence[Blow], arrivals: Sequence[Arrival], *, slack: float
) -> list[str]:
    """Which accounts took too long after which blow, in words. A blow that follows gives its own time.

    `slack` is what each may take longer on a machine with other things to do, in seconds.
    """
    by_account: defaultdict[str, list[Arrival]] = defaultdict(list)
    for arrival in sorted(arrivals, key=lambda each: each.at):
        by_account[arrival.account].append(arrival)
    late = []
    for number, blow in enumerate(blows):
        for account in sorted(blow.waiting):
            own = by_account[account]
            latest = blow.at
            for each in blows[number:]:
                if each.at > latest:
                    break
                own_time = each.latest(account, own, count=backlog.count, seconds=backlog.seconds)
                latest = max(latest, own_time + slack)
            again = next((arrival.at for arrival in own if arrival.at > blow.at), None)
            if again is None or again > latest:
                took = "never" if again is None else f"after {again - blow.at:.1f} s"
                kind = "held" if account in blow.held else "free"
                late.append(
                    f"{account} ({kind}) {took}, not {latest - blow.at:.1f} s, after {blow.name}"
                    f" (away for {blow.reachable_at - blow.at:.1f} s)"
                )
    return late


@dataclass
class Attempts:
    """How long attempts are open, seen from outside: from one look at the database to another."""

    backlog: Backlog
    # Accounts whose messages may stay unknown.
    without_look_up: frozenset[str] = frozenset()
    _seen: dict[tuple[str, int], tuple[float, float, str]] = field(default_factory=dict)

    def look(self) -> None:
        """Note what is open now; nothing while the database is away."""
        now = time.time()
        try:
            rows = self.backlog.under_way()
        except psycopg.OperationalError:
            return
        for row in rows:
            if row.state == "unknown" and row.account in self.without_look_up:
                continue
            first = self._seen.get((row.id, row.attempt), (now,))[0]
            self._seen[row.id, row.attempt] = (first, now, row.state)

    def overdue(self) -> list[str]:
        """The attempts that were open for longer than their lease and the grace, in words."""
        most = LEASE.total_seconds() + _GRACE_SECONDS
        return [
            f"attempt {attempt} at {message} was {state} for {last - first:.1f} s"
            for (message, attempt), (first, last, state) in self._seen.items()
            if last - first > most
        ]
