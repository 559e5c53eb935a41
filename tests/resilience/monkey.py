"""A monkey with a seed: at random moments it kills, flushes and cuts what a site is made of."""

import logging
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.resilience.backlog import Backlog, Row
from tests.resilience.hosts import Host, Site
from tests.resilience.recovery import HELD_SECONDS, Attempts, Blow
from tests.resilience.verdict import Ledger
from tests.waiting import wait_until

log = logging.getLogger(__name__)

# How soon accounts of which the victim held nothing send again once it is back, in seconds. A host that is
# cut off goes on being handed things.
BOUNDS = {
    "worker": 5,
    "cut": HELD_SECONDS,
    "drop": 5,
    "redis": 5,
    "outage": 5,
    "flush": 5,
    "rewind": 5,
    "postgres": 15,
    "rabbitmq": 15,
}
# Messages leave in bursts; the monkey also strikes between them.
_LONGEST_CALM = 2.0
# How long after a blow a dead connection may still be handed something.
_BLOW = 0.2
# What share of the messages Redis forgets when it is started from an older copy.
_REWOUND = 0.03
# Who doubles or adds to the wait between attempts to connect is far behind after these seconds.
_OUTAGE = 13.0


class Monkey:
    """Strikes a site while it works off a backlog, and notes what it did."""

    def __init__(self, site: Site, backlog: Backlog, attempts: Attempts, *, seed: int) -> None:
        self._site = site
        self._backlog = backlog
        self._attempts = attempts
        self._ledger = Ledger(site.services)
        self._random = random.Random(seed)  # noqa: S311 -- to be repeated, not to be secret
        self._copy: Path | None = None
        self.blows: list[Blow] = []

    def rampage(self, names: Sequence[str], *, until: float, patience: float) -> None:
        """Strike each of these once, in a random order, before that share of the messages has arrived.

        Each blow comes at a random moment after so many arrivals, which is random too. These may take at most
        `patience` seconds.
        """
        part = until / len(names)
        for number, name in enumerate(self._random.sample(names, len(names))):
            share = self._random.uniform(number, number + 1) * part
            self._wait_for_arrivals(int(share * self._backlog.total), patience=patience)
            self._wait_for(self._random.choice([0, self._random.uniform(0, _LONGEST_CALM)]))
            self.strike(name)

    def strike(self, name: str, *, host: Host | None = None) -> None:
        """Do it, to this host if it is one that is struck, and wait until the service is back.

        Who was cut off is healed before the next blow.
        """
        for each in self._site.hosts:
            each.heal()
        self._wait_for_survivors()
        if name == "rewind":
            self._copy = self._site.copy_redis()
            # Hosts that were slow to come back may have left less.
            share = min(int(_REWOUND * self._backlog.total), self._backlog.counters()["queued"])
            # Where all slots are in use by now, none arrives for a window.
            self._wait_for_arrivals(len(self._ledger) + share, patience=60 + self._backlog.seconds)
        held, waiting = self._under_way(), self._backlog.waiting()
        at = time.time()
        self._do(name, host or self._random.choice(self._ready()))
        reachable_at = time.time()
        # Some may have been granted after the look and before the blow.
        held |= {row for row in self._under_way() if row.granted_at <= min(reachable_at, at + 0.5) + _BLOW}
        blow = Blow(name, at, BOUNDS[name], _by_account(held), waiting, reachable_at)
        self.blows.append(blow)
        # Shown when the test fails.
        log.warning("%6.1f s  %s", at - self.blows[0].at, blow.describe())

    def _under_way(self) -> set[Row]:
        silent = self._attempts.without_look_up
        rows = self._backlog.under_way()
        return {row for row in rows if row.state == "sending" or row.account not in silent}

    def _do(self, name: str, host: Host) -> None:
        match name:
            case "worker":
                host.kill()
                host.start()
            case "cut":
                there, back = self._random.choice([(True, True), (True, False), (False, True)])
                host.cut(there=there, back=back)
            case "drop":
                host.drop()
            case "rewind":
                assert self._copy is not None
                self._site.rewind_redis(self._copy)
            case "flush":
                self._site.flush_redis()
            case "outage":
                self._site.services.stop("redis")
                self._wait_for(_OUTAGE)
                self._site.services.start("redis")
            case "rabbitmq":
                assert self._site.node is not None
                self._site.node.kill()
                self._site.node.start()
                self._site.node.wait_ready()
            case _:
                self._site.kill_service(name)

    def _ready(self) -> list[Host]:
        self._site.keep_up()
        return [host for host in self._site.hosts if host.ready]

    def _wait_for_survivors(self) -> None:
        """Until there is a host that goes on when another one is struck."""
        wait_until(lambda: len(self._ready()) >= 2, seconds=60, what="two hosts that are ready")

    def _wait_for_arrivals(self, number: int, *, patience: float) -> None:
        def reached() -> bool:
            self._watch()
            return len(self._ledger) >= number

        wait_until(reached, seconds=patience, what=f"{number} arrivals", every=0.05)

    def _watch(self) -> None:
        self._attempts.look()
        self._site.keep_up()

    def _wait_for(self, seconds: float) -> None:
        moment = time.monotonic() + seconds
        while time.monotonic() < moment:
            self._watch()
            time.sleep(0.05)


def _by_account(rows: Iterable[Row]) -> dict[str, frozenset[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        found[row.account].add(row.id)
    return {account: frozenset(ids) for account, ids in found.items()}
