"""A message in a state that isn't an end always has someone coming for it, whatever was lost on the way."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from apps.messaging.limiter.rules import Limit
from apps.messaging.models import BreakerState, Layer, Mode, Outbox, PlatformState, SendBlock
from apps.messaging.services import due, epoch, lookups
from apps.tenants.system import system_transaction
from tests.messaging import dispatching as d
from tests.messaging.dispatch_world import GOOD, SECOND, Fate, World

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
NOW = timedelta()


def enqueue(world: World, *, wait: timedelta = NOW, user: bool = False) -> Outbox:
    """Two messages of the first account."""
    by = world.users[0] if user else None
    world.enqueue(world.accounts[0], 2, user=by, priority=1, wait=wait)
    return world.outboxes[-1]


def sent_off(world: World, fate: Fate) -> None:
    """Two messages are granted and started, and go this way."""
    enqueue(world)
    world.claim()
    world.deliver(world.tasks.pop(), [fate])
    world.advance(10 * SECOND)


def late(world: World, after: timedelta | None) -> None:
    d.change(world.accounts[0], next_due=after if after is None else world.now + after)


# Each leaves messages in the state it is called after; nothing but time, ticks and sweeps follows.


def queued_and_never_looked_at(world: World) -> None:
    enqueue(world)
    late(world, None)


def queued_and_looked_at_too_late(world: World) -> None:
    enqueue(world)
    late(world, 30 * HOUR)


def queued_for_later_and_never_looked_at(world: World) -> None:
    enqueue(world, wait=HOUR)
    late(world, None)


def queued_behind_a_block_and_never_looked_at(world: World) -> None:
    enqueue(world)
    world.latest = world.now + HOUR
    d.change(world.accounts[0], next_due=None, blocked_until=world.latest)


def queued_behind_a_short_window_that_was_long(world: World) -> None:
    world.limit_layer("account", None, Limit(1, 100_000))
    d.change(world.accounts[0], limit_count=None, limit_seconds=None)
    enqueue(world)
    world.claim()
    world.limit_layer("account", None, Limit(1, 60))
    world.of_accounts[world.accounts[0].pk] = Limit(1, 60)


def queued_while_the_claim_died(world: World) -> None:
    enqueue(world)
    world.claim_and_die()


def queued_after_an_outbox_was_resumed(world: World) -> None:
    outbox = enqueue(world)
    world.pause(outbox)
    assert not world.claim()
    assert d.fresh(world.accounts[0]).next_due is None
    world.resume(outbox)


def queued_after_a_tenant_was_resumed(world: World) -> None:
    world.pause(world.tenants[0])
    enqueue(world)
    assert not world.claim()
    world.resume(world.tenants[0])


def queued_after_a_platform_was_resumed(world: World) -> None:
    enqueue(world)
    world.pause("platform")
    assert not world.claim()
    world.resume("platform")


def queued_after_the_credential_was_renewed(world: World) -> None:
    sent_off(world, Fate("unauthorised"))
    assert d.fresh(world.accounts[0]).paused_at
    world.resume(world.accounts[0])


def queued_while_a_platform_had_no_address(world: World) -> None:
    enqueue(world)
    address, world.settings.ONLYFANS_API_URL = world.settings.ONLYFANS_API_URL, ""
    assert not world.claim()
    world.settings.ONLYFANS_API_URL = address


def queued_in_a_cancelled_outbox(world: World) -> None:
    world.cancel(enqueue(world))


def queued_behind_an_open_breaker(world: World) -> None:
    sent_off(world, Fate("not_connected"))
    sent_off(world, Fate("not_connected"))
    assert breaker().breaker == BreakerState.OPEN


def queued_behind_a_probe_that_was_lost(world: World) -> None:
    queued_behind_an_open_breaker(world)
    world.advance(60 * SECOND)
    assert len(world.claim()) == 1
    world.tasks.clear()
    assert breaker().breaker == BreakerState.HALF_OPEN


def queued_behind_a_probe_that_could_not_go(world: World) -> None:
    queued_behind_a_probe_that_was_lost(world)
    d.change(world.outboxes[0], cancelled_at=world.now)
    d.change(world.outboxes[1], cancelled_at=world.now)
    enqueue(world)


def queued_behind_a_throttle(world: World) -> None:
    sent_off(world, Fate("throttled"))


def queued_behind_blocks(world: World) -> None:
    """Nobody remembers what they were for."""
    enqueue(world, user=True)
    world.latest = world.now + HOUR
    with system_transaction():
        for layer, subject in (
            (Layer.USER, world.users[0]),
            (Layer.TENANT, world.tenants[0].pk),
            (Layer.GLOBAL, None),
        ):
            SendBlock.objects.create(layer=layer, subject_id=subject, until=world.latest)


@pytest.mark.parametrize("layer", ["user", "tenant", "global"])
def test_what_a_layer_had_no_slot_for_goes_in_time(world: World, layer: str) -> None:
    world.limit_layer(layer, None, Limit(1, 60))
    enqueue(world, user=True)
    world.claim()
    world.claim()
    with system_transaction():
        assert SendBlock.objects.filter(layer=layer).exists()
    world.run_out()
    assert ends(world) == {"sent"}


def granted_but_the_task_was_lost(world: World) -> None:
    enqueue(world)
    world.claim()
    world.tasks.clear()


def granted_in_an_epoch_that_is_over(world: World) -> None:
    enqueue(world)
    world.claim()
    world.forget()
    epoch.renew(reason="a test")


def granted_then_redis_was_lost_for_good(world: World) -> None:
    enqueue(world)
    world.claim()
    world.tasks.clear()
    world.lose_redis(mode=Mode.POSTGRES)


def granted_then_cancelled(world: World) -> None:
    outbox = enqueue(world)
    world.claim()
    world.cancel(outbox)


def started_by_a_sender_that_died_before_writing(world: World) -> None:
    sent_off(world, Fate("died_unwritten"))


def started_by_a_sender_that_died_after_writing(world: World) -> None:
    sent_off(world, Fate("died"))


def answered_but_never_written_down(world: World) -> None:
    sent_off(world, Fate("sent", recorded="only in Redis"))


def unknown_and_accepted(world: World) -> None:
    sent_off(world, Fate("cut", accepted=True))


def unknown_and_not_accepted(world: World) -> None:
    sent_off(world, Fate("cut", accepted=False))


def unknown_and_looked_up_by_someone_who_died(world: World) -> None:
    sent_off(world, Fate("server_error", accepted=False))
    world.advance(20 * SECOND)
    assert len(lookups.take(now=world.now, platforms={"onlyfans": world.platform})) == 2


def unknown_and_found_missing_but_nobody_woken(world: World) -> None:
    sent_off(world, Fate("cut", accepted=False))
    world.advance(20 * SECOND)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(due, "bring_forward_each", lambda ats: None)
        world.sweep()
    late(world, None)


def unknown_in_a_cancelled_outbox(world: World) -> None:
    sent_off(world, Fate("cut", accepted=False))
    world.cancel(world.outboxes[0])


def unknown_where_nothing_can_be_looked_up(world: World) -> None:
    world.platform.look_ups = "absent"
    sent_off(world, Fate("timed_out"))


def breaker() -> PlatformState:
    with system_transaction():
        return PlatformState.objects.get()


def ends(world: World) -> set[str]:
    return {row.state for row in world.look().messages}


@pytest.mark.parametrize(
    ("arrange", "state", "end"),
    [
        (queued_and_never_looked_at, "queued", "sent"),
        (queued_and_looked_at_too_late, "queued", "sent"),
        (queued_for_later_and_never_looked_at, "queued", "sent"),
        (queued_behind_a_block_and_never_looked_at, "queued", "sent"),
        (queued_while_the_claim_died, "queued", "sent"),
        (queued_after_an_outbox_was_resumed, "queued", "sent"),
        (queued_after_a_tenant_was_resumed, "queued", "sent"),
        (queued_after_a_platform_was_resumed, "queued", "sent"),
        (queued_after_the_credential_was_renewed, "queued", "sent"),
        (queued_while_a_platform_had_no_address, "queued", "sent"),
        (queued_in_a_cancelled_outbox, "queued", "cancelled"),
        (queued_behind_an_open_breaker, "queued", "sent"),
        (queued_behind_a_throttle, "queued", "sent"),
        (queued_behind_blocks, "queued", "sent"),
        (granted_but_the_task_was_lost, "sending", "sent"),
        (granted_in_an_epoch_that_is_over, "sending", "sent"),
        (granted_then_redis_was_lost_for_good, "sending", "sent"),
        (granted_then_cancelled, "sending", "cancelled"),
        (started_by_a_sender_that_died_before_writing, "sending", "sent"),
        (started_by_a_sender_that_died_after_writing, "sending", "sent"),
        (answered_but_never_written_down, "sending", "sent"),
        (unknown_and_accepted, "unknown", "sent"),
        (unknown_and_not_accepted, "unknown", "sent"),
        (unknown_and_looked_up_by_someone_who_died, "unknown", "sent"),
        (unknown_and_found_missing_but_nobody_woken, "queued", "sent"),
        (unknown_in_a_cancelled_outbox, "unknown", "cancelled"),
        (unknown_where_nothing_can_be_looked_up, "unknown", "dead"),
    ],
    ids=lambda value: value.__name__ if callable(value) else value,
)
def test_someone_comes_for(world: World, arrange: Callable[[World], None], state: str, end: str) -> None:
    arrange(world)
    assert ends(world) == {state}

    world.run_out()

    assert ends(world) == {end}
    world.platform.check_windows()


@pytest.mark.parametrize(
    ("arrange", "found"),
    [
        (queued_behind_a_short_window_that_was_long, {"sent"}),
        (queued_behind_a_probe_that_was_lost, {"sent"}),
        (queued_behind_a_probe_that_could_not_go, {"sent", "cancelled"}),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_someone_comes_for_what_is(world: World, arrange: Callable[[World], None], found: set[str]) -> None:
    """Some of it on its way, some not."""
    arrange(world)

    world.run_out()

    assert ends(world) == found


def test_a_message_that_nobody_could_find_is_found_by_the_sweep_alone(world: World) -> None:
    """What `run_out` rests on: without sweeps nobody would come."""
    queued_and_never_looked_at(world)
    world.advance(30 * HOUR)
    assert not world.claim()
    world.sweep()
    assert len(world.claim()) == 2
    world.deliver(world.tasks.pop(), [GOOD])
    world.advance(NOW)
    assert ends(world) == {"sent"}
