"""The judgement on a run of dispatch, by the platform's own ledger."""

import json
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from apps.sandbox.gateway.ledger import FILE_NAME
from huntaze.stack import Stack
from tests.http_client import http
from tests.resilience.backlog import Backlog


@dataclass(frozen=True)
class Arrival:
    """A request that the platform saw; `at` is in seconds since 1970."""

    at: float
    account: str
    key: str
    accepted: bool


class Ledger:
    """What the platform of a stack has seen."""

    def __init__(self, services: Stack) -> None:
        self._url = services.gateway_url
        self._file = services.home / "sandbox-gateway" / FILE_NAME

    def clear(self) -> None:
        http.post(f"{self._url}/reset").raise_for_status()

    def __len__(self) -> int:
        """How many arrivals there are; read from the file, since asking the platform would slow it down."""
        return self._file.read_bytes().count(b"\n")

    def arrivals(self) -> list[Arrival]:
        """In the order of their times."""
        found = [json.loads(line) for line in self._file.read_text().splitlines()]
        names = ("at", "account", "key", "accepted")
        return [Arrival(*(each[name] for name in names)) for each in found]

    def check_limit(self, *, count: int, seconds: float) -> None:
        """No window of any account saw more than `count` arrivals, no key and no text was delivered twice."""
        answer = http.get(f"{self._url}/audit", params={"seconds": seconds, "limit": count}, timeout=30)
        audit = answer.raise_for_status().json()
        assert audit["within_limit"], f"worst window: {audit['worst_account']}, allowed are {count}"
        assert audit["duplicates_by_key"] == 0, f"sent twice: {audit['duplicate_keys']}"
        assert audit["duplicates_by_text"] == 0, f"sent twice: {audit['duplicate_texts']}"


def check_delivered(backlog: Backlog, ledger: Ledger, *, without_look_up: Collection[str] = ()) -> None:
    """Nothing lost, nothing doubled, every window held; the rows and the counters tell the same.

    Only messages of accounts whose platform looks nothing up may stay unknown, arrived or not.
    """
    ledger.check_limit(count=backlog.count, seconds=backlog.seconds)
    accepted = {arrival.key for arrival in ledger.arrivals() if arrival.accepted}
    rows = backlog.rows()
    assert len(rows) == backlog.total
    open_ends = {row.id for row in rows if row.state == "unknown" and row.account in without_look_up}
    unsent = [row for row in rows if row.state != "sent" and row.id not in open_ends]
    assert not unsent, f"{len(unsent)} of {len(rows)} not sent: {Counter(row.state for row in unsent)}"
    lost = [row.id for row in rows if row.id not in accepted and row.id not in open_ends]
    assert not lost, f"“sent”, but the platform knows nothing of {len(lost)}: {lost[:5]}"
    states = Counter(row.state for row in rows)
    assert {name: number for name, number in backlog.counters().items() if number} == states
