"""The queue `dispatch`: claims, batches, recovery, sweeps.

Beat sends the ticks. Whoever gets one claims, and goes on until the next one if there is anything to do. A
worker that hasn't had one for 3 s — beat is dead, or the broker is away — ticks itself and sends what it has
claimed on threads of its own: neither waits for the broker to come back.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from celery.signals import worker_ready, worker_shutting_down
from django.db import DatabaseError, InterfaceError
from kombu.exceptions import OperationalError as BrokerError

from apps.common.clock import database_now
from apps.common.connections import give_back_connection
from apps.messaging.limiter.rules import LimiterUnavailableError, StaleEpochError
from apps.messaging.services import claim, send, sweep
from apps.messaging.services.claim import Claim
from apps.messaging.services.heartbeat import Heart
from apps.messaging.services.pressure import PRESSURE, TURNS
from huntaze.celery import app
from tasks.base import Tick

log = structlog.get_logger(__name__)

# Messages of one task: few enough that the outcomes of its last ones don't wait for long.
BATCH = 500
BEAT_EVERY = timedelta(seconds=1)
TICK_MISSED_AFTER = timedelta(seconds=3)
# For how long one task claims while there is work: the next tick would have to wait for all batches that are
# queued before it. A worker's own tick ends before its next one, as does the look-out for more.
CLAIM_FOR_S = 10
OWN_CLAIM_FOR_S = LOOK_OUT_S = 0.9
# For how long after other tenants had something to send a backlog leaves them room. Several claims, on a slow
# machine too.
SHARED_FOR_S = 5
# How soon to look again while there is work: after a claim that left nothing due; and after one that left
# something of a backlog, or when the senders had no time for one.
CLAIM_AGAIN_S = 0.1
CLAIM_SOON_S = 0.02
# How long a broker may take to confirm a batch; then it is tried again or sent here.
CONFIRM_S = 1
_FAILURES = (DatabaseError, InterfaceError, LimiterUnavailableError, StaleEpochError)


class _Pulse:
    """The thread that beats a dispatch worker's heart, and ticks when nobody else does."""

    def __init__(self, name: str) -> None:
        self._heart = Heart(name)
        self._ticked_at = time.monotonic()
        self._stopping = threading.Event()
        self._senders = ThreadPoolExecutor(4, thread_name_prefix="own-batch")
        # Apart, since looking up what is unknown may take longer than a heart may stand still.
        self._ticker = ThreadPoolExecutor(1, thread_name_prefix="own-tick")
        self._own_tick: Future[None] | None = None
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    @property
    def holds(self) -> str:
        return self._heart.holds

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def ticked(self) -> None:
        self._ticked_at = time.monotonic()

    def _run(self) -> None:
        while not self._stopping.wait(BEAT_EVERY.total_seconds()):
            _survive(self._heart.beat)
            missed = time.monotonic() - self._ticked_at > TICK_MISSED_AFTER.total_seconds()
            if missed and (self._own_tick is None or self._own_tick.done()):
                self._own_tick = self._ticker.submit(_survive, self._tick)
        _survive(self._heart.stop)

    def send_here(self, batch: Sequence[UUID]) -> None:
        self._senders.submit(_survive, lambda: send.send_batch(message_ids=batch, now=database_now()))

    def _tick(self) -> None:
        for found in _claims(until=time.monotonic() + OWN_CLAIM_FOR_S):
            for batch in _batches(found):
                self.send_here(batch)
        sweep.recover_messages(now=database_now())


_pulses: list[_Pulse] = []
# One task of a process claims at a time: another one would only have what this one leaves. If it hangs, so
# that no tick gets through, the worker's own ticks go on.
_claiming = threading.Lock()
# A worker that is asked to stop begins nothing more.
_stopping = threading.Event()


@worker_ready.connect
def _start_pulse(sender: Any, **_: object) -> None:
    _stopping.clear()
    if "dispatch" in sender.app.amqp.queues.consume_from:
        _pulses.append(_Pulse(sender.hostname))
        _pulses[-1].start()


@worker_shutting_down.connect
def _stop_pulse(**_: object) -> None:
    _stopping.set()
    for pulse in _pulses:
        pulse.stop()


@app.task(base=Tick)
def claim_due_messages() -> None:
    """Grant what is due and have it sent."""
    if not _claiming.acquire(blocking=False):
        return
    ends = time.monotonic() + CLAIM_FOR_S
    try:
        for found in _claims(until=ends):
            for pulse in _pulses:
                pulse.ticked()
            for batch in _batches(found):
                _publish(batch)
    finally:
        _claiming.release()
    if time.monotonic() >= ends:
        claim_due_messages.delay()


@app.task
def send_batch(message_ids: list[str]) -> None:
    """Send what was granted; those that somebody else has started are left alone."""
    send.send_batch(message_ids=[UUID(message_id) for message_id in message_ids], now=database_now())


@app.task(base=Tick)
def recover_messages() -> None:
    """Bring home what a lost task or a dead worker has left on its way."""
    sweep.recover_messages(now=database_now())


@app.task(base=Tick)
def sweep_messages() -> None:
    """Wake what was forgotten, mark what was cancelled."""
    sweep.sweep_messages(now=database_now())


def _claims(*, until: float) -> Iterator[Claim]:
    """Claims as long as there is something to do; one if there is nothing. `until` is monotonic time."""
    full, even, looks_until = claim.ACCOUNTS_AT_ONCE, False, 0.0
    # Who else sends may not be known yet.
    TURNS.shared_until = max(TURNS.shared_until, time.monotonic() + CLAIM_SOON_S)
    while not _stopping.is_set():
        if even:
            found = _claim(full)
        elif time.monotonic() < TURNS.shared_until:
            found = _claim(full, of_backlog=TURNS.take())
        elif PRESSURE.is_high:
            found = Claim(held=True)
        else:
            found = _claim(PRESSURE.share(full))
        yield found
        even = found.even or (even and found.held)
        if found.held_back:
            TURNS.learn(PRESSURE.queueing, full=full)
        now = time.monotonic()
        if found:
            looks_until = now + LOOK_OUT_S
        if found.shared:
            TURNS.shared_until = now + SHARED_FOR_S
        if now >= min(until, looks_until):
            return
        if rest := _rest(found):
            _stopping.wait(rest)


def _rest(found: Claim) -> float:
    """For how many seconds senders have the time to themselves before the next claim."""
    if found.more and not found.curtailed:
        return 0
    return CLAIM_SOON_S if found.curtailed or found.held or PRESSURE.is_high else CLAIM_AGAIN_S


def _claim(most: int, of_backlog: int | None = None) -> Claim:
    """Grant what is due; nothing while the limiter can't be asked, or this worker had better not."""
    if any(pulse.holds for pulse in _pulses):
        return Claim()
    try:
        return claim.claim_messages(now=database_now(), most=most, of_backlog=of_backlog)
    except (LimiterUnavailableError, StaleEpochError) as error:
        log.warning("claim.held", reason=f"{type(error).__name__}: {error}")
        return Claim()


def _batches(found: Claim) -> Iterator[Sequence[UUID]]:
    for first in range(0, len(found.message_ids), BATCH):
        yield found.message_ids[first : first + BATCH]


def _publish(batch: Sequence[UUID]) -> None:
    """Hand a batch to whichever worker is free, or send it here if the broker takes nothing."""
    try:
        send_batch.apply_async(
            kwargs={"message_ids": [str(message_id) for message_id in batch]},
            confirm_timeout=CONFIRM_S,  # type: ignore[call-arg]  # handed on to kombu
        )
    except (BrokerError, OSError) as error:
        if not _pulses:
            raise
        log.warning("batch.not_published", error=str(error))
        _pulses[0].send_here(batch)


def _survive(work: Callable[[], None]) -> None:
    """A thread outlives whatever is away for the moment."""
    try:
        work()
    except _FAILURES as error:
        log.warning("dispatch.pulse_failed", error=f"{type(error).__name__}: {error}")
    finally:
        give_back_connection()
