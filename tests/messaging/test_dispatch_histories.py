"""Some histories that random ones seldom have, over the real services and the simulated platform."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import redis
from django.db import OperationalError, connection

from apps.messaging.gateways.base import NotConnected, Result, Sent
from apps.messaging.limiter.redis_logs import RedisConnection
from apps.messaging.limiter.rules import Limit
from apps.messaging.models import Mode
from apps.messaging.services import due, epoch, outcomes, slots
from apps.tenants.system import system_transaction
from tests.messaging import dispatching as d
from tests.messaging.dispatch_world import GOOD, NOWHERE, SECOND, Fate, SenderDied, World, die

pytestmark = pytest.mark.django_db(transaction=True)

MILLISECOND = timedelta(milliseconds=1)


def test_clocks_that_differ_within_the_margin_break_no_limit(world: World) -> None:
    """The limiter's clock is behind at the first grant, ahead at the second; the platform has its own."""
    account = world.accounts[0]
    world.limit_account(account, Limit(1, 60))
    world.skew = -120 * MILLISECOND
    for tenth in range(8):
        # What is enqueued has the account looked at, whenever it was to be.
        world.enqueue(account, 1, user=None, priority=1, wait=timedelta())
        if world.claim():
            world.deliver(world.tasks.pop(), [GOOD])
        world.advance(59.7 * SECOND if not tenth else 100 * MILLISECOND)
        world.skew = 120 * MILLISECOND
    assert len(world.platform.arrivals) == 2
    world.platform.check_windows()


@pytest.mark.parametrize("layer", ["account", "tenant"])
def test_a_redis_that_starts_from_an_old_file_is_not_believed(world: World, layer: str) -> None:
    if layer == "account":
        world.limit_account(world.accounts[0], Limit(2, 60))
    else:
        world.limit_layer("tenant", None, Limit(2, 60))
    for number in (1, 1, 3):
        world.enqueue(world.accounts[0], number, user=None, priority=1, wait=timedelta())
        if world.claim():
            world.deliver(world.tasks.pop(), [GOOD])
        world.advance(SECOND)
        if number == 1 and len(world.outboxes) == 1:
            saved = world.save_redis()
        else:
            world.restart_redis(saved)
    world.claim()
    assert len(world.platform.arrivals) == 2


@pytest.mark.parametrize("loss", ["a flush", "of Redis", "of Redis, until now"])
def test_what_ends_after_a_loss_frees_its_slot_a_window_after_its_end(world: World, loss: str) -> None:
    account = world.accounts[0]
    world.limit_account(account, Limit(1, 60))
    if loss == "of Redis, until now":
        world.lose_redis(mode=Mode.POSTGRES)
    world.enqueue(account, 1, user=None, priority=1, wait=timedelta())
    world.claim()
    world.deliver(world.tasks.pop(), [Fate("sent", answer=SECOND)])
    if loss == "a flush":
        world.forget()
    elif loss == "of Redis":
        world.lose_redis(mode=Mode.POSTGRES)
    else:
        world.find_redis()

    # The account is looked at, and its log read from rows that say: still under way.
    world.enqueue(account, 1, user=None, priority=1, wait=timedelta())
    assert not world.claim()
    world.advance(61.5 * SECOND)
    assert len(world.claim()) == 1


def test_what_ends_in_an_epoch_that_knows_nothing_of_it_is_looked_at_at_once(world: World) -> None:
    account = world.accounts[0]
    world.limit_account(account, Limit(1, 60))
    world.enqueue(account, 2, user=None, priority=1, wait=timedelta())
    world.claim()
    world.deliver(world.tasks.pop(), [Fate("sent", answer=SECOND)])
    world.forget()
    epoch.renew(reason="somebody else's claim")
    world.advance(SECOND)

    assert d.fresh(account).next_due == world.now


def test_an_end_that_redis_never_heard_of_holds_no_slot_for_longer(world: World) -> None:
    account = world.accounts[0]
    world.limit_account(account, Limit(1, 60))
    world.enqueue(account, 2, user=None, priority=1, wait=timedelta())
    world.claim()
    world.deliver(world.tasks.pop(), [Fate("sent", answer=SECOND)])
    world.settings.REDIS_URL = NOWHERE
    world.advance(SECOND)
    world.find_redis()

    assert not world.claim(), "its log is loaded from the rows"
    world.advance(60.5 * SECOND)
    assert len(world.claim()) == 1


def test_a_claim_that_died_takes_no_slots_of_its_accounts_with_it(world: World) -> None:
    account = world.accounts[0]
    world.limit_account(account, Limit(2, 60))
    world.enqueue(account, 2, user=None, priority=1, wait=timedelta())
    world.claim_and_die()

    assert len(world.claim()) == 2


def test_a_claim_that_died_before_redis_was_lost_takes_none_either(world: World) -> None:
    """Its ghosts are in the log, and the rows say that this is to be read anew: both are to be noticed."""
    account = world.accounts[0]
    world.limit_account(account, Limit(2, 60))
    world.enqueue(account, 1, user=None, priority=1, wait=timedelta())
    world.claim()
    world.deliver(world.tasks.pop(), [Fate("not_connected", answer=2 * SECOND)])
    world.enqueue(account, 2, user=None, priority=1, wait=timedelta())
    world.claim_and_die()
    world.settings.REDIS_URL = NOWHERE
    world.advance(2 * SECOND)
    world.find_redis()

    assert len(world.claim()) == 2


def test_what_nobody_started_has_its_slot_though_its_hand_back_dies(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.accounts[0]
    world.limit_account(account, Limit(1, 60))
    world.enqueue(account, 1, user=None, priority=1, wait=timedelta())
    world.claim()
    world.advance(7 * SECOND)
    with monkeypatch.context() as patch, suppress(SenderDied):
        patch.setattr(slots, "settle_in", die)
        world.sweep()

    assert d.fresh(account).next_due <= world.now
    assert len(world.claim()) == 1


def locked_by_others(patch: pytest.MonkeyPatch) -> None:
    """Whoever doesn't wait for accounts finds them in other hands."""
    lock = due.lock
    patch.setattr(due, "lock", lambda ids, *, waits=True: lock(ids) if waits else {})


@pytest.mark.parametrize("later", [0, 10])
def test_a_slot_that_is_corrected_late_is_corrected_to_its_own_time(
    world: World, monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    account, began = world.accounts[0], world.now
    world.limit_account(account, Limit(1, 60))
    world.enqueue(account, 2, user=None, priority=1, wait=timedelta())
    world.claim()
    batch = world.start(world.tasks.pop())
    world.forget()
    epoch.renew(reason="a flush")
    with system_transaction():
        due.bring_forward([account.pk], at=world.now)
    assert not world.claim(), "its log is loaded from rows that say: still under way"
    world.advance(SECOND)
    sent = Result(batch.requests[0], Sent("1"), ended_at=world.now)
    with monkeypatch.context() as patch:
        locked_by_others(patch)
        put_off = outcomes.record(results=[sent], epoch=batch.epoch, now=world.now, at=world.at)
    world.advance(later * SECOND)

    assert put_off
    assert not outcomes.reconsider(put_off, now=world.now, at=world.at)

    assert d.fresh(account).next_due == began + 61.25 * SECOND


def test_what_came_back_is_looked_at_although_nobody_heard_of_the_commit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.accounts[0]
    world.enqueue(account, 1, user=None, priority=1, wait=timedelta())
    world.claim()
    batch = world.start(world.tasks.pop())
    world.advance(SECOND)
    # A claim has it, and finds nothing to do.
    d.change(account, next_due=None)
    lost = Result(batch.requests[0], NotConnected(error="refused"), ended_at=world.now)
    with monkeypatch.context() as patch:
        locked_by_others(patch)
        outcomes.record(results=[lost], epoch=batch.epoch, now=world.now, at=world.at)

    outcomes.record(results=[lost], epoch=None, now=world.now, at=world.at)

    assert d.row().state == "queued"
    assert d.fresh(account).next_due is not None


def test_a_log_that_is_read_while_an_attempt_is_given_back_is_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.accounts[0]
    world.limit_account(account, Limit(2, 60))
    world.enqueue(account, 1, user=None, priority=1, wait=timedelta())
    world.claim()
    batch = world.start(world.tasks.pop())
    lost = Result(batch.requests[0], NotConnected(error="refused"), ended_at=world.now)
    settle = outcomes._settle

    def claimed_meanwhile(*given: Any, **options: Any) -> Any:
        found = settle(*given, **options)
        with system_transaction():
            due.load_anew([account.pk])
        world.enqueue(account, 1, user=None, priority=1, wait=timedelta())
        assert len(world.claim()) == 1
        return found

    with monkeypatch.context() as patch:
        patch.setattr(outcomes, "_settle", claimed_meanwhile)
        outcomes.record(results=[lost], epoch=batch.epoch, now=world.now, at=world.at)
    world.advance(2 * SECOND)  # no back-off of a first attempt is longer

    assert len(world.claim()) == 1


def test_a_claim_that_lost_its_session_while_it_loaded_a_log_spoils_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the rows, and stalls; another one grants; then the first goes on to Redis."""
    account = world.accounts[0]
    world.limit_account(account, Limit(3, 60))
    world.enqueue(account, 1, user=None, priority=1, wait=timedelta())
    load = RedisConnection.load
    grants: list[int] = []

    def stalling(self: RedisConnection, *given: Any, **options: Any) -> None:
        monkeypatch.setattr(RedisConnection, "load", load)
        pid = connection.connection.info.backend_pid
        with psycopg.connect(os.environ["TEST_SUPERUSER_URL"], autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        with ThreadPoolExecutor(1) as pool:
            grants.append(pool.submit(others).result())
        load(self, *given, **options)

    def others() -> int:
        try:
            world.enqueue(account, 2, user=None, priority=1, wait=timedelta())
            return len(world.claim())
        finally:
            connection.close()

    monkeypatch.setattr(RedisConnection, "load", stalling)
    with pytest.raises(OperationalError):
        world.claim()
    connection.close()
    world.enqueue(account, 3, user=None, priority=1, wait=timedelta())

    assert grants == [3]
    assert not world.claim()


def test_a_shared_log_that_is_loaded_late_spoils_none(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut: Redis gets the call when its caller has long given up, and others have loaded and granted."""
    world.limit_layer("tenant", None, Limit(3, 60))
    world.enqueue(world.accounts[0], 2, user=None, priority=1, wait=timedelta())
    late: list[tuple[Any, int]] = []

    def cut(_: RedisConnection, contents: Any, *, epoch: int) -> None:
        late.append((list(contents), epoch))
        raise redis.TimeoutError("Timeout reading from socket")

    with monkeypatch.context() as patch:
        patch.setattr(RedisConnection, "load", cut)
        assert not world.claim()
    assert len(world.claim()) == 2
    ((contents, number),) = late
    assert [each.log.layer for each in contents] == ["tenant"]
    with epoch.logs().connection() as there:
        there.load(contents, epoch=number)
    world.enqueue(world.accounts[1], 3, user=None, priority=1, wait=timedelta())

    assert len(world.claim()) == 1


@pytest.mark.parametrize("kind", ["throttled", "unauthorised", "server_error", "cut", "died"])
@pytest.mark.parametrize("loss", ["none", "flush", "for good"])
def test_what_arrived_and_was_queued_again_counts_even_after_a_loss(
    world: World, kind: str, loss: str
) -> None:
    account = world.accounts[0]
    world.limit_account(account, Limit(1, 120))
    world.enqueue(account, 1, user=None, priority=1, wait=timedelta())
    world.claim()
    world.deliver(world.tasks.pop(), [Fate(kind, accepted=False)])
    world.advance(40 * SECOND)
    for _ in range(2):
        world.sweep()
        world.advance(20 * SECOND)
    if loss == "flush":
        world.forget()
    elif loss == "for good":
        world.lose_redis(mode=Mode.POSTGRES)
    world.resume(account)
    world.run_out()
    assert len(world.platform.arrivals) == 2
    world.platform.check_windows()


@pytest.mark.parametrize("kind", ["refused", "throttled", "server_error"])
def test_an_answer_written_down_after_the_next_attempt_began_changes_nothing(world: World, kind: str) -> None:
    world.enqueue(world.accounts[0], 1, user=None, priority=1, wait=timedelta())
    world.claim()
    world.deliver(world.tasks.pop(), [Fate(kind, accepted=False, later=90 * SECOND)])
    for _ in range(4):
        world.advance(20 * SECOND)
        world.sweep()
    world.advance(9 * SECOND)
    assert len(world.claim()) == 1, "found missing, and granted again"
    world.deliver(world.tasks.pop(), [Fate("sent", answer=5 * SECOND)])
    world.advance(3 * SECOND)
    assert [row.state for row in world.look().messages] == ["sending"]
    world.run_out()
    assert [row.state for row in world.look().messages] == ["sent"]


def test_nobody_asks_about_a_message_that_may_still_arrive(world: World) -> None:
    world.enqueue(world.accounts[0], 1, user=None, priority=1, wait=timedelta())
    world.claim()
    world.deliver(world.tasks.pop(), [Fate("timed_out", answer=9 * SECOND)])
    world.advance(10.5 * SECOND)
    assert not world.platform.arrivals
    world.sweep()
    world.run_out()
    assert [row.state for row in world.look().messages] == ["sent"]
    assert len(world.platform.arrivals) == 1


def test_an_answer_written_down_after_the_end_changes_nothing(world: World) -> None:
    world.enqueue(world.accounts[0], 1, user=None, priority=1, wait=timedelta())
    world.claim()
    world.deliver(world.tasks.pop(), [Fate("server_error", accepted=True, later=90 * SECOND)])
    for _ in range(4):
        world.advance(20 * SECOND)
        world.sweep()
    assert [row.state for row in world.look().messages] == ["sent"]
    world.advance(20 * SECOND)
    world.look()


def test_what_was_sent_while_a_layer_had_no_limit_counts_once_it_has_one(world: World) -> None:
    for limit in (Limit(3, 60), None, Limit(3, 60)):
        world.limit_layer("tenant", None, limit)
        world.enqueue(world.accounts[0], 2, user=None, priority=1, wait=timedelta())
        if world.claim():
            world.deliver(world.tasks.pop(), [GOOD])
        world.advance(SECOND)
    assert len(world.platform.arrivals) == 4
    world.platform.check_windows()
