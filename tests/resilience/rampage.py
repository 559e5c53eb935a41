"""A backlog worked off while a monkey rages, and the judgement afterwards."""

import logging
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from tests.resilience.backlog import enqueue_backlog
from tests.resilience.hosts import Site
from tests.resilience.monkey import Monkey
from tests.resilience.recovery import Attempts, describe_lateness
from tests.resilience.verdict import Ledger, check_delivered
from tests.waiting import wait_until

log = logging.getLogger(__name__)

_LATENCY = {"distribution": "lognormal", "median_ms": 200, "sigma": 1}
# The answers of a platform that looks nothing up.
_ABSENT = ("404", "405", "501")
# How much of the backlog has arrived when the last blow falls.
_SHARE = 0.75


class Rampage:
    """One backlog, one monkey, one judgement."""

    def __init__(
        self,
        site: Site,
        *,
        accounts: int,
        messages: int,
        seconds: int,
        seed: int,
        silent_every: int = 0,
        slack: float = 2,
    ) -> None:
        """Each account is limited to 10 messages in `seconds`; every so-manieth has no look-up.

        `slack` is what recovery may take longer where other tests run on the same cores, in seconds.
        """
        self.slack = slack
        log.warning("HUNTAZE_CHAOS_SEED=%d repeats this", seed)
        self.site = site
        self.ledger = Ledger(site.services)
        self.ledger.clear()
        self.backlog = enqueue_backlog(
            site.services, accounts=accounts, messages=messages, count=10, seconds=seconds
        )
        names = sorted({row.account for row in self.backlog.rows()})
        self.silent = frozenset(names[::silent_every] if silent_every else ())
        self.attempts = Attempts(self.backlog, without_look_up=self.silent)
        self.monkey = Monkey(site, self.backlog, self.attempts, seed=seed)

    def fault_rules(self) -> list[dict[str, Any]]:
        """Random latency for all, and no look-up for the silent ones."""
        return [
            *(
                {"operation": "lookup", "account": account, "error_rates": {status: 1}}
                for account, status in zip(sorted(self.silent), cycle(_ABSENT), strict=False)
            ),
            {"operation": "send", "latency": _LATENCY},
        ]

    def run(self, victims: Sequence[str]) -> None:
        self.monkey.rampage(victims, until=_SHARE, patience=60 + 3 * self.backlog.seconds)
        self.site.heal()
        self.wait_until_over()
        self.judge()

    def wait_until_over(self) -> None:
        """Until every message has come to its end; those of silent accounts may stay unknown."""

        def over() -> bool:
            self.attempts.look()
            self.site.keep_up()
            counters = self.backlog.counters()
            if counters["queued"] or counters["sending"]:
                return False
            return all(row.account in self.silent for row in self.backlog.under_way())

        windows = self.backlog.messages / self.backlog.count
        wait_until(over, seconds=90 + (windows + 1) * self.backlog.seconds, what="the end of the backlog")

    def judge(self) -> None:
        check_delivered(self.backlog, self.ledger, without_look_up=self.silent)
        arrivals = self.ledger.arrivals()
        late = describe_lateness(
            self.backlog, self.monkey.blows, arrivals, doubted=self.attempts.doubted, slack=self.slack
        )
        assert not late, late
        overdue = self.attempts.overdue()
        assert not overdue, "\n".join(overdue)
