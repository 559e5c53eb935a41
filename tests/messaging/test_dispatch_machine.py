"""Anything in any order, over the real services: what a platform sees stays within every limit, nobody gets a
message twice, an end is an end, and once all is well everything comes to one in time."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from apps.messaging import backoff
from apps.messaging.limiter.rules import Limit
from apps.messaging.models import Mode
from tests.messaging.dispatch_world import GOOD, SECOND, Fate, Thing, World, simulated
from tests.messaging.simulated_platform import SimulatedPlatform

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True)]

MILLISECOND = timedelta(milliseconds=1)


def _seconds(most: float) -> st.SearchStrategy[timedelta]:
    return st.integers(0, round(most * 1000)).map(lambda number: number * MILLISECOND)


_third = st.integers(0, 2)
_user = st.sampled_from([None, 0, 1])
_limit = st.builds(
    Limit,
    count=st.integers(1, 4),
    seconds=st.sampled_from([7, 30, 60]),
    min_gap_ms=st.sampled_from([0, 0, 0, 2000]),
)
_fates = st.builds(
    Fate,
    kind=st.sampled_from(
        [
            *("sent", "sent", "sent", "sent", "refused", "unauthorised", "throttled", "not_connected"),
            *("server_error", "malformed", "timed_out", "lost", "cut", "died", "died_unwritten"),
        ]
    ),
    write=_seconds(1.2),
    arrive=_seconds(9.9),
    answer=_seconds(9.9),
    accepted=st.booleans(),
    recorded=st.sampled_from(["wholly", "wholly", "wholly", "only in Redis"]),
    later=st.one_of(st.just(timedelta()), _seconds(27), _seconds(90)),
)


@dataclass(frozen=True)
class Order:
    """So many messages of an outbox, or a single one."""

    account: int
    number: int
    user: int | None
    priority: int
    wait: timedelta


@dataclass(frozen=True)
class Tick:
    """A claim, and what becomes of its task and its requests."""

    after: timedelta
    task: str
    fates: list[Fate]


@dataclass(frozen=True)
class LayerLimit:
    """A limit for one user or tenant of a layer, or for all of it; none: what there is goes."""

    layer: str
    own: bool
    limit: Limit | None


_orders = st.builds(
    Order,
    account=_third,
    number=st.integers(0, 3),
    user=_user,
    priority=_third,
    wait=st.one_of(st.just(timedelta()), _seconds(90)),
)
_with_redis = st.sampled_from(
    ["*", "save", "restart", "account", "tenant", "user", "global", *Mode, "back", "back", "back"]
)
_ticks = st.builds(
    Tick,
    after=st.one_of(_seconds(3), _seconds(40), st.sampled_from([16 * SECOND, 61 * SECOND, 76 * SECOND])),
    task=st.sampled_from(["comes"] * 6 + ["comes twice", "waits", "is lost", "dies with its claim"]),
    fates=st.lists(_fates, min_size=1, max_size=4) | st.just([GOOD]),
)
_layer_limit = st.builds(
    LayerLimit,
    layer=st.sampled_from(["recipient", "user", "tenant", "global"]),
    own=st.booleans(),
    limit=_limit | _limit | st.none(),
)


class Dispatching(RuleBasedStateMachine):
    """The rules; dispatch_world.py says what each does."""

    # Given by the test, since hypothesis makes the machine.
    world_of: Any

    def __init__(self) -> None:
        super().__init__()
        self.world: World = type(self).world_of()
        self.saved: dict[bytes, bytes] = {}
        backoff._random = random.Random(0)  # type: ignore[assignment]  # noqa: S311

    @initialize(
        look_ups=st.sampled_from(["truthful", "truthful", "failing", "absent"]),
        limits=st.lists(_limit, min_size=3, max_size=3),
        layers=st.lists(_layer_limit, max_size=2),
        orders=st.lists(_orders, min_size=1, max_size=3),
    )
    def begin(
        self, look_ups: str, limits: list[Limit], layers: list[LayerLimit], orders: list[Order]
    ) -> None:
        self.world.platform.look_ups = look_ups
        for account, limit in zip(self.world.accounts, limits, strict=True):
            self.world.limit_account(account, limit)
        for layer in layers:
            self.limit_layer(layer)
        self.enqueue(orders)

    @rule(orders=st.lists(_orders, min_size=1, max_size=3))
    def enqueue(self, orders: list[Order]) -> None:
        world = self.world
        for order in orders:
            by = None if order.user is None else world.users[order.user]
            account = world.accounts[order.account]
            if order.number:
                world.enqueue(account, order.number, user=by, priority=order.priority, wait=order.wait)
            else:
                world.enqueue_single(world.fans[account.pk][order.priority], user=by)

    @rule(ticks=st.lists(_ticks, min_size=1, max_size=4))
    def go_on(self, ticks: list[Tick]) -> None:
        for tick in ticks:
            self.world.advance(tick.after)
            if tick.task == "dies with its claim":
                self.world.claim_and_die()
            elif granted := self.world.claim():
                if tick.task == "waits":
                    continue
                self.world.tasks.pop()
                if tick.task == "is lost":
                    continue
                self.world.deliver(granted, tick.fates)
                if tick.task == "comes twice":
                    self.world.tasks.append(list(granted))
            self.world.advance(timedelta())

    @precondition(lambda self: self.world.tasks)
    @rule(which=st.integers(0, 9), fates=st.lists(_fates, min_size=1, max_size=4))
    def deliver(self, which: int, fates: list[Fate]) -> None:
        tasks = self.world.tasks
        self.world.deliver(tasks.pop(which % len(tasks)), fates)

    @rule(after=_seconds(40))
    def sweep(self, after: timedelta) -> None:
        self.world.advance(after)
        self.world.sweep()

    @rule(what=_with_redis)
    def lose_or_find_redis(self, what: str) -> None:
        match what:
            case Mode():
                self.world.lose_redis(mode=what)
            case "back":
                self.world.find_redis()
            case "*":
                self.world.forget()
            case "save":
                self.saved = self.world.save_redis()
            case "restart":
                self.world.restart_redis(self.saved)
            case layer:
                self.world.forget(f"*:{layer}:*")

    @rule(
        what=st.sampled_from(["account", "outbox", "tenant", "platform"]),
        which=st.integers(0, 9),
        how=st.sampled_from(["pause", "resume", "resume", "cancel"]),
    )
    def control(self, what: str, which: int, how: str) -> None:
        kinds: dict[str, Sequence[Thing]] = {
            "account": self.world.accounts,
            "outbox": self.world.outboxes,
            "tenant": self.world.tenants,
            "platform": ["platform"],
        }
        things = kinds[what]
        if things and how != "cancel":
            change = self.world.resume if how == "resume" else self.world.pause
            change(things[which % len(things)])
        elif self.world.outboxes:
            self.world.cancel(self.world.outboxes[which % len(self.world.outboxes)])

    @rule(account=_third, limit=_limit, skew=st.integers(-120, 120))
    def limit_account(self, account: int, limit: Limit, skew: int) -> None:
        """And let the limiter's clock run differently."""
        self.world.limit_account(self.world.accounts[account], limit)
        self.world.skew = skew * MILLISECOND
        self.world.platform.skew = max(self.world.platform.skew, abs(skew) * 1000)

    @rule(limit=_layer_limit)
    def limit_layer(self, limit: LayerLimit) -> None:
        subjects = {"user": self.world.users[0], "tenant": self.world.tenants[0].pk}
        subject = subjects.get(limit.layer) if limit.own else None
        self.world.limit_layer(limit.layer, subject, limit.limit)

    @invariant()
    def ends_are_final_and_counters_exact(self) -> None:
        self.world.look()

    def teardown(self) -> None:
        self.world.heal()
        self.world.run_out()
        self.world.platform.check_windows()


def run(django_settings: Any, *, examples: int, steps: int, **more: Any) -> None:
    """So many examples; a failure prints the steps that it takes to reproduce it."""
    redis_url = django_settings.REDIS_URL
    worlds: list[World] = []

    def world() -> World:
        worlds[:] = [World(django_settings, redis_url)]
        return worlds[0]

    def platform() -> SimulatedPlatform:
        return worlds[0].platform

    machine = type("Dispatching", (Dispatching,), {"world_of": staticmethod(world)})
    with simulated(django_settings, platform):
        run_machine(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
                **more,
            ),
        )


def test_whatever_happens_limits_hold_and_everything_ends_once(settings: Any) -> None:
    run(settings, examples=20, steps=20, derandomize=True)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_whatever_happens_for_long_limits_hold_and_everything_ends_once(settings: Any) -> None:
    run(settings, examples=30, steps=40, derandomize=True)
