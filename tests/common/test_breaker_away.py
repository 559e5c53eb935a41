"""Redis goes away, and comes back: who decides then."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import ReadOnlyError

from apps.common import shared_redis
from apps.common.breaker.breakers import Breakers
from apps.common.breaker.rules import Admission, Report, Result, Settings, State, Status
from apps.common.shared_redis import RedisAwayError, SharedRedis
from tests.common.breaker_twins import LEASE, NAME, seconds
from tests.common.redis_server import Server, own_redis
from tests.waiting import wait_until

FAILURE, SUCCESS = Report(Result.FAILURE), Report(Result.SUCCESS)


@pytest.fixture
def server() -> Iterator[Server]:
    with own_redis() as running:
        yield running


class Process:
    """As one process sees the breaker; all of them have the same clock here."""

    now = 1_700_000_000_000

    def __init__(self, server: Server) -> None:
        self.breakers = Breakers(
            SharedRedis(server.url), prefix="test", settings=Settings(), clock=lambda: Process.now
        )

    @property
    def status(self) -> Status:
        return self.breakers.statuses_of([NAME])[NAME]

    def admission(self) -> Admission:
        given = self.breakers.admit(self.status, lease=LEASE).admission
        assert given is not None
        return given

    def fail(self, times: int) -> None:
        for _ in range(times):
            self.breakers.record(self.admission(), FAILURE)

    def wait(self, number: float) -> None:
        Process.now += round(number * 1000)

    def wait_for_redis(self) -> None:
        wait_until(lambda: not self.status.is_local, seconds=30, what="Redis to be asked again")


def test_each_process_decides_for_itself_while_redis_is_away(server: Server) -> None:
    one, other = Process(server), Process(server)
    assert not one.status.is_local
    assert not other.status.is_local
    server.kill()
    one.fail(4)
    assert one.status.is_local
    (change,) = one.breakers.record(one.admission(), FAILURE)
    assert change.reason == "5 failures in a row (one process, while Redis is away)"
    assert (one.status.state, other.status.state) == (State.OPEN, State.CLOSED)
    one.wait(60)
    probe = one.breakers.admit(one.status, lease=LEASE)
    assert probe.admission is not None
    assert probe.admission.probe
    assert [each.after for each in probe.changes] == [State.HALF_OPEN]
    assert one.status.excluded == "breaker half-open, its probe is under way"
    assert one.breakers.admit(one.status, lease=LEASE).admission is None
    one.breakers.record(probe.admission, SUCCESS)
    one.breakers.record(one.admission(), SUCCESS)
    assert one.status.state is State.CLOSED


def test_when_redis_is_back_all_share_again_and_the_time_between_is_forgotten(server: Server) -> None:
    one, other = Process(server), Process(server)
    one.fail(4)
    server.wait_until_kept()
    server.kill()
    local = one.admission()
    while one.status.state is State.CLOSED:
        one.fail(1)
    server.start()
    one.wait_for_redis()
    other.wait_for_redis()
    assert (one.status.state, one.status.failures_in_a_row) == (State.CLOSED, 4)
    assert one.breakers.record(local, FAILURE) == []
    assert one.status.failures_in_a_row == 4
    other.fail(1)
    assert one.status.state is State.OPEN


def test_what_was_open_held_or_cooling_down_stays_so_while_redis_is_away(server: Server) -> None:
    one = Process(server)
    names = ["open", "held", "cooling", "probed"]
    found = one.breakers.statuses_of(names)
    for name in ("open", "probed"):
        for _ in range(5):
            one.breakers.record(Admission(name, 0), FAILURE)
    one.wait(60)
    probed = one.breakers.statuses_of(["probed"])["probed"]
    assert one.breakers.admit(probed, lease=LEASE).admission
    one.wait(-1)
    cooling = found["cooling"].admission()
    assert cooling is not None
    one.breakers.record(cooling, Report(Result.NEUTRAL, cool_down=seconds(9)))
    assert one.breakers.statuses_of(names)["open"].epoch == 1
    # What a process changes by itself it needn't read to know.
    assert one.breakers.force("held", State.OPEN)
    server.kill()
    away = one.breakers.statuses_of(names)
    assert {name: each.excluded for name, each in away.items()} == {
        "open": "breaker open, a probe may go in 1 s",
        "held": "breaker opened by hand",
        "cooling": "rate limited for another 9 s",
        # Whoever has the lease can't tell us: a probe of our own may go.
        "probed": None,
    }
    assert away["probed"].state is State.HALF_OPEN


def test_what_began_before_redis_went_away_counts_nowhere(server: Server) -> None:
    one = Process(server)
    begun = [one.admission() for _ in range(5)]
    server.kill()
    for admission in begun:
        assert one.breakers.record(admission, FAILURE) == []
    assert one.status.failures_in_a_row == 0


def test_nobody_holds_a_breaker_for_all_while_redis_is_away(server: Server) -> None:
    one = Process(server)
    server.kill()
    with pytest.raises(RedisAwayError):
        one.breakers.force(NAME, State.OPEN)
    assert one.status.state is State.CLOSED


def test_who_makes_the_round_trip_itself_can_go_on_locally(server: Server) -> None:
    one = Process(server)
    shared = SharedRedis(server.url)
    (answer,) = shared.run(one.breakers.read_call([NAME, "other"]))
    statuses = one.breakers.statuses([NAME, "other"], answer)
    assert list(statuses) == [NAME, "other"]
    admission = statuses[NAME].admission()
    assert admission is not None
    calls = [one.breakers.record_call(admission, FAILURE) for _ in range(5)]
    changes = [one.breakers.recorded(admission, FAILURE, answer) for answer in shared.run(*calls)]
    assert [[change.after for change in each] for each in changes] == [[]] * 4 + [[State.OPEN]]
    server.kill()
    with pytest.raises(RedisAwayError):
        shared.run(one.breakers.read_call([NAME]))
    assert one.breakers.statuses([NAME], None)[NAME].state is State.OPEN
    assert one.breakers.recorded(admission, SUCCESS, None) == []


def probed(server: Server) -> tuple[Process, Process, Admission]:
    """One whose probe is under way, with another that waits for what it comes to."""
    one, other = Process(server), Process(server)
    one.fail(5)
    one.wait(60)
    assert other.status.state is State.OPEN
    probe = one.admission()
    assert probe.probe
    assert other.status.excluded == "breaker half-open, its probe is under way"
    return one, other, probe


@pytest.mark.parametrize("result", list(Result))
def test_what_a_probe_came_to_is_told_when_redis_is_back(server: Server, result: Result) -> None:
    one, other, probe = probed(server)
    server.wait_until_kept()
    server.kill()
    assert one.breakers.record(probe, Report(result)) == []
    assert not one.breakers.may_catch_up
    server.start()
    one.wait(LEASE.total_seconds() / 2)
    one.wait_for_redis()
    other.wait_for_redis()
    assert one.breakers.may_catch_up

    told = one.breakers.catch_up([NAME])

    assert not one.breakers.may_catch_up
    failed = result in (Result.FAILURE, Result.SHORT_TIMEOUT)
    assert [change.after for change in told.changes] == [State.OPEN] * failed
    assert told.statuses[NAME].state == other.status.state == (State.OPEN if failed else State.HALF_OPEN)
    assert bool(other.status.excluded) is failed
    if result is Result.SUCCESS:
        # By the time at which it was, not at which it was told.
        assert other.status.succeeded_at is not None
        assert other.status.succeeded_at.timestamp() * 1000 == Process.now - LEASE.total_seconds() * 500


def test_what_is_told_later_than_a_probes_lease_is_lost_and_its_breaker_waits_no_longer(
    server: Server,
) -> None:
    one, other, probe = probed(server)
    server.wait_until_kept()
    server.kill()
    one.breakers.record(probe, SUCCESS)
    server.start()
    one.wait(LEASE.total_seconds())
    one.wait_for_redis()

    told = one.breakers.catch_up([NAME])

    assert [change.reason for change in told.changes] == ["the probe's lease ended, and nothing was heard"]
    assert other.status.excluded == "breaker open, a probe may go in 120 s"
    one.wait(120)
    assert other.admission().probe


def test_what_cannot_be_told_again_is_told_later(server: Server) -> None:
    one, _, probe = probed(server)
    server.wait_until_kept()
    server.kill()
    one.breakers.record(probe, SUCCESS)
    server.start()
    one.wait_for_redis()
    server.kill()
    assert one.breakers.catch_up([NAME]).changes == []
    server.start()
    one.wait_for_redis()
    assert one.breakers.may_catch_up
    assert one.breakers.catch_up([NAME]).statuses[NAME].excluded is None


class Refusing:
    """A Redis that still reads, but takes no write."""

    def __init__(self, server: Server) -> None:
        self.client = redis.Redis.from_url(server.url)

    def refuse(self) -> None:
        self.client.config_set("maxmemory", 1)

    def accept(self) -> None:
        self.client.config_set("maxmemory", 0)


class Replica(Refusing):
    """One that somebody has made a replica, of a server that isn't there."""

    def refuse(self) -> None:
        self.client.replicaof("127.0.0.1", "1")

    def accept(self) -> None:
        self.client.replicaof("NO", "ONE")


class NewerReplica(Replica):
    """From version 7 on what a script may not write is said as it is said of a command."""

    @staticmethod
    def answer(connection: Any, answer: Any = shared_redis._answer) -> Any:
        found = answer(connection)
        if isinstance(found, redis.ResponseError) and "READONLY" in str(found):
            raise ReadOnlyError(str(found))
        return found


@pytest.fixture(params=[Refusing, Replica, NewerReplica])
def refusing(request: Any, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Refusing]:
    if request.param is NewerReplica:
        monkeypatch.setattr(shared_redis, "_answer", NewerReplica.answer)
        monkeypatch.setattr(shared_redis, "PAUSE_S", 0)
    refusing = request.param(server)
    yield refusing
    refusing.client.close()


def test_what_a_process_has_seen_itself_it_keeps_until_redis_takes_a_write_again(
    server: Server, refusing: Refusing
) -> None:
    one = Process(server)
    other = Process(server)
    begun = one.admission()
    refusing.refuse()
    assert one.breakers.record(begun, FAILURE) == []
    one.fail(5)
    for _ in range(4):
        one.wait(11)
        assert (one.status.state, one.status.is_local) == (State.OPEN, True)
        assert one.breakers.admit(one.status, lease=LEASE).admission is None
    # Whoever has told nothing yet knows nothing of it.
    assert (other.status.state, other.status.is_local) == (State.CLOSED, False)
    refusing.accept()
    one.wait(11)
    one.wait_for_redis()
    assert one.status.state is State.CLOSED
    one.fail(5)
    assert other.status.state is State.OPEN


def test_a_probe_that_redis_does_not_take_down_is_this_process_s_own(
    server: Server, refusing: Refusing
) -> None:
    one = Process(server)
    one.fail(5)
    one.wait(60)
    due = one.status
    refusing.refuse()
    probe = one.breakers.admit(due, lease=LEASE).admission
    assert probe is not None
    assert (probe.probe, probe.is_local) == (True, True)
    assert one.breakers.admit(due, lease=LEASE).admission is None
    one.breakers.record(probe, FAILURE)
    one.wait(30)
    assert one.status.state is State.OPEN


def test_an_answer_from_before_a_refusal_ends_no_local_reading(server: Server) -> None:
    one = Process(server)
    (answer,) = SharedRedis(server.url).run(one.breakers.read_call([NAME]))
    begun = one.admission()
    server.kill()
    one.breakers.record(begun, FAILURE)
    one.fail(5)
    assert one.breakers.statuses([NAME], answer)[NAME].state is State.OPEN
    assert one.status.state is State.OPEN


def test_to_try_a_write_changes_nothing(server: Server) -> None:
    one, other = Process(server), Process(server)
    assert one.breakers.force("held", State.OPEN)
    one.fail(2)
    server.wait_until_kept()
    server.kill()
    one.fail(1)
    server.start()
    names = ["held", NAME, "unknown"]
    wait_until(lambda: not one.breakers.statuses_of(names)["held"].is_local, seconds=30, what="Redis")
    assert one.breakers.statuses_of(names) == other.breakers.statuses_of(names)
    with redis.Redis.from_url(server.url) as client:
        assert client.ttl("test:held") == -1
        assert client.ttl(f"test:{NAME}") > 0
    assert one.status.failures_in_a_row == 2


def test_a_refusal_is_news_once_and_forbids_no_operators_word_afterwards(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    one, full = Process(server), Refusing(server)
    full.refuse()
    one.breakers.record(one.admission(), FAILURE)
    with pytest.raises(RedisAwayError, match="OOM"):
        one.breakers.force("other", State.OPEN)
    for _ in range(3):
        one.wait(11)
        one.fail(1)
    full.accept()
    assert one.breakers.force("other", State.OPEN)
    full.client.close()
    assert caplog.text.count("breaker.redis_refuses") == 1
