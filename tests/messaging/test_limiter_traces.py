"""The same traces through the limiter in Redis, in PostgreSQL and in Python: their answers agree to the
microsecond, whatever is lost, changed, corrected or given back on the way."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, local
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.messaging.limiter.rules import Ended, Limit, Visit
from apps.messaging.models import Mode
from apps.messaging.services import epoch
from apps.tenants.system import system_transaction
from tests.messaging.limiter_twins import SECOND, Asked, Limits, Twins, begin_epoch, forget, twins

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNTS, FANS, USERS = 2, 2, 2
_limit = st.builds(
    Limit,
    count=st.integers(1, 6),
    seconds=st.sampled_from([1, 7, 20, 60, 400]),
    min_gap_ms=st.sampled_from([0, 0, 0, 500, 1500, 30_000]),
)
_perhaps = st.none() | _limit
_limits = st.fixed_dictionaries(
    {"global": _perhaps, "tenant": _perhaps, "account": _limit, "user": _perhaps, "recipient": _limit}
)
_candidate = st.tuples(st.integers(0, FANS - 1), st.integers(0, USERS - 1), st.booleans())
_visits = st.lists(
    st.tuples(st.integers(0, ACCOUNTS - 1), st.lists(_candidate, max_size=5)),
    min_size=1,
    max_size=ACCOUNTS,
    unique_by=lambda visit: visit[0],
)
_pause = st.integers(0, 5 * SECOND)
# Some seconds, or until a log opens: to the microsecond, or one before.
_long_pause = st.integers(0, 80 * SECOND) | st.sampled_from(["exactly", "exactly", "almost"])
# Which of the open attempts, and how long ago each was over; None: it never began.
_ends = st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 12 * SECOND)), max_size=5)
_step = st.one_of(
    st.tuples(st.just("go on"), st.tuples(_visits, _pause, _ends, _long_pause)),
    st.tuples(st.just("go on"), st.tuples(_visits, _pause, _ends, _long_pause)),
    st.tuples(st.just("ask"), _visits),
    st.tuples(
        st.just("change"), st.tuples(st.sampled_from(["global", "tenant", "user", "recipient"]), _perhaps)
    ),
    st.tuples(st.just("change"), st.tuples(st.just("account"), _limit)),
    st.tuples(st.just("lose"), st.just("*")),
    # A log that has expired; a recipient's never does before its stamps are of no account.
    st.tuples(st.just("expire"), st.sampled_from(["account", "tenant", "user", "global"])),
)
_traces = st.lists(_step, min_size=4, max_size=12)


def run(twins: Twins, trace: Sequence[tuple[str, Any]]) -> None:
    for what, detail in trace:
        match what:
            case "ask":
                ask(twins, detail)
            case "go on":
                visits, first, ends, then = detail
                ask(twins, visits)
                twins.now += first
                settle(twins, ends)
                twins.compare()
                twins.now += then if isinstance(then, int) else twins.next_opening() - (then == "almost")
            case "change":
                change(twins, *detail)
            case "lose":
                begin_epoch()
            case "expire":
                forget(f"*:{detail}:*")
        twins.compare()


def ask(twins: Twins, visits: Sequence[tuple[int, Sequence[tuple[int, int, bool]]]]) -> None:
    asked = []
    for account, wanted in visits:
        chosen: list[Asked] = []
        for fan, user, again in wanted:
            waiting = [
                each
                for each in twins.messages
                if each.row.account_id == twins.accounts[account].pk and can_go_again(each, twins.now)
            ]
            waiting = [each for each in waiting if each not in chosen]
            chosen.append(waiting[0] if again and waiting else twins.add(account, fan, user))
        asked.append((twins.accounts[account], chosen))
    twins.ask(asked)


def can_go_again(message: Asked, now: int) -> bool:
    """As in the services: what isn't known to be over is tried again only after its latest arrival."""
    return not message.open and (not message.slots or message.slots[-1] <= now)


def settle(twins: Twins, ends: Sequence[tuple[int, int | None]]) -> None:
    for index, age in ends:
        running = [each for each in twins.messages if each.open]
        if running:
            message = running[index % len(running)]
            granted_at = message.slots[-1] - 15 * SECOND
            twins.settle(message, age=age if age is None else min(age, twins.now - granted_at))


def change(twins: Twins, layer: str, limit: Limit | None) -> None:
    twins.limits[layer] = limit
    if layer == "recipient" and limit is None:
        twins.limits[layer] = Limit(6, 60)
    if layer != "account":
        # The table's trigger does so.
        begin_epoch()


_how = {
    "deadline": None,
    "print_blob": True,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


def agree(limits: Limits, trace: Sequence[tuple[str, Any]]) -> None:
    run(twins(accounts=ACCOUNTS, limits=dict(limits)), trace)


@given(limits=_limits, trace=_traces)
@settings(max_examples=40, derandomize=True, **_how)  # type: ignore[arg-type]
def test_redis_postgresql_and_python_agree(limits: Limits, trace: Sequence[tuple[str, Any]]) -> None:
    agree(limits, trace)


@pytest.mark.soak
@pytest.mark.timeout(900)
@given(limits=_limits, trace=st.lists(_step, max_size=30))
@settings(max_examples=120, derandomize=True, **_how)  # type: ignore[arg-type]
def test_redis_postgresql_and_python_agree_for_long(limits: Limits, trace: Sequence[tuple[str, Any]]) -> None:
    agree(limits, trace)


def test_a_slot_given_back_takes_no_other_with_it() -> None:
    """Between the row that gives it back and Redis, which follows, the account's log may be loaded anew."""
    two = twins(accounts=1, limits={"account": Limit(2, 60), "recipient": Limit(9, 60)})
    account = two.accounts[0]
    message = two.add(0, 0, 0)
    two.ask([(account, [message])])
    two.settle(message, age=0)
    two.now += SECOND
    two.ask([(account, [message])])

    message.slots.pop()
    message.open = False
    two.save(message)
    forget("*:account:*")
    two.reserve_in_redis([Visit(account.pk, two.shared(account), [])])
    ended = Ended(message.row.pk, message.attempt, None, two.own(message))
    two.settle_in_redis(two.account_log(account), ended)

    with two.redis() as (redis, in_force):
        ((free, _),) = redis.state([two.account_log(account)], epoch=in_force.number, now=two.now)
    assert free == 1, "the stamp of the first attempt has gone"


def test_claims_side_by_side_do_not_wait_for_each_other_in_postgresqls_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    epoch.renew(reason="a test", mode=Mode.POSTGRES)
    read, together, seen = epoch._read, Barrier(2, timeout=10), local()

    def read_together() -> epoch.Epoch:
        found = read()
        if not hasattr(seen, "once"):
            seen.once = together.wait()
        return found

    monkeypatch.setattr(epoch, "_read", read_together)

    def hold() -> Mode:
        try:
            with system_transaction():
                return epoch.hold().mode
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        modes = [each.result() for each in [pool.submit(hold) for _ in range(2)]]
    epoch.renew(reason="the test is over")
    assert modes == [Mode.POSTGRES] * 2


def test_a_late_word_of_an_end_makes_no_stamp_later() -> None:
    two = twins(accounts=1, limits={"account": Limit(1, 60), "recipient": Limit(9, 60)})
    message = two.add(0, 0, 0)
    two.ask([(two.accounts[0], [message])])
    two.now += 40 * SECOND
    two.settle(message, age=0)
    two.compare()
    assert two.next_opening() == 35_250_000
