"""One thread of a process says, for all its flights, that their leaders live."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from apps.ai.flights.turns import LEASE, Ask

# A lease is extended when a third of it is over; its end is then two thirds away, for a machine that is busy.
_SHARE = 3
BEAT = LEASE / (2 * _SHARE)


@dataclass(slots=True)
class _Kept:
    """When, by the monotonic clock, the lease is due to be extended, and when no longer."""

    due: float
    until: float


class Keeper:
    """Extends leases in time. `extend` does it for several, and says of each whether it may still be the
    caller's; None: Redis is away.

    The thread is there while there is something to keep, and looks once a beat: most flights are over before,
    and cost no more than their names in a dictionary.
    """

    def __init__(
        self, extend: Callable[[Sequence[Ask]], list[bool] | None], *, beat: timedelta = BEAT
    ) -> None:
        self._extend, self._beat = extend, beat.total_seconds()
        self._lock = threading.Lock()
        self._kept: dict[Ask, _Kept] = {}
        self._is_running = False

    @property
    def is_running(self) -> bool:
        return self._is_running

    def __len__(self) -> int:
        """How many leases it keeps."""
        return len(self._kept)

    @contextmanager
    def kept(self, ticket: Ask, *, at_most: timedelta) -> Iterator[None]:
        """Keep the lease for as long as the block runs, but no longer than that."""
        now = time.monotonic()
        with self._lock:
            self._kept[ticket] = _Kept(now + _third(ticket), now + at_most.total_seconds())
            starts, self._is_running = not self._is_running, True
        if starts:
            threading.Thread(target=self._run, name="flights", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._kept.pop(ticket, None)

    def _run(self) -> None:
        try:
            # It waits before it looks at all, or it would end with each flight that is over at once.
            time.sleep(self._beat)
            while self._is_wanted():
                now = time.monotonic()
                with self._lock:
                    due = [each for each, kept in self._kept.items() if kept.due <= now < kept.until]
                if due:
                    self._note(due, self._extend(due), now)
                time.sleep(self._beat)
        except BaseException:  # whatever ended it: the next lease gets another thread
            self._is_running = False
            raise

    def _is_wanted(self) -> bool:
        """Whether there is anything to keep; if not, the thread has ended as far as anybody knows."""
        now = time.monotonic()
        with self._lock:
            self._kept = {each: kept for each, kept in self._kept.items() if kept.until > now}
            self._is_running = bool(self._kept)
            return self._is_running

    def _note(self, tickets: Sequence[Ask], answers: list[bool] | None, now: float) -> None:
        with self._lock:
            for ticket, is_ours in zip(tickets, answers or (), strict=False):
                if not is_ours:
                    self._kept.pop(ticket, None)
                elif ticket in self._kept:
                    self._kept[ticket].due = now + _third(ticket)


def _third(ticket: Ask) -> float:
    return ticket.lease.total_seconds() / _SHARE
