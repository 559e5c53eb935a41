"""Each rule of the breaker, in Redis and in Python at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from apps.common.breaker.rules import Admission, Report, Result, Settings, State, Status
from tests.common.breaker_twins import DUE, LEASE, NAME, START, Twins, client, due, opened, seconds


@pytest.fixture
def twins() -> Twins:
    return Twins()


def said(twins: Twins) -> str | None:
    return twins.status.excluded


def test_an_unknown_breaker_is_closed_and_costs_no_round_trip(twins: Twins) -> None:
    status = twins.status
    assert (status.state, status.epoch, status.calls, status.excluded) == (State.CLOSED, 0, 0, None)
    assert status.available_in == seconds(0)
    assert status.admission() == Admission(NAME, 0)
    assert twins.shared.admit(status, lease=LEASE).admission == Admission(NAME, 0)
    assert not client().exists(twins.key)


def test_five_failures_in_a_row_open_it(twins: Twins) -> None:
    twins.calls(4, Result.FAILURE)
    assert (twins.status.state, twins.status.failures_in_a_row) == (State.CLOSED, 4)
    (change,) = twins.call(Result.FAILURE)
    assert (change.name, change.before, change.after) == (NAME, State.CLOSED, State.OPEN)
    assert change.reason == "5 failures in a row"
    assert change.at.timestamp() * 1000 == START
    assert twins.status.waits == twins.status.available_in == seconds(60)
    assert said(twins) == "breaker open, a probe may go in 60 s"
    assert twins.status.admission() is None


def test_a_success_ends_a_run_of_failures(twins: Twins) -> None:
    twins.calls(4, Result.FAILURE)
    twins.call(Result.SUCCESS)
    twins.calls(4, Result.FAILURE)
    assert twins.state is State.CLOSED


def test_a_refusal_neither_counts_nor_ends_a_run_of_failures(twins: Twins) -> None:
    for _ in range(4):
        twins.call(Result.FAILURE)
        twins.calls(30, Result.NEUTRAL)
    assert (twins.status.calls, twins.status.failures, twins.state) == (4, 4, State.CLOSED)
    twins.call(Result.FAILURE)
    assert twins.state is State.OPEN


def alternate(twins: Twins, times: int) -> None:
    for _ in range(times):
        twins.call(Result.FAILURE)
        twins.call(Result.SUCCESS)


def test_half_of_twenty_calls_open_it(twins: Twins) -> None:
    twins.call(Result.SUCCESS)
    alternate(twins, 9)
    assert (twins.status.calls, twins.status.failures, twins.state) == (19, 9, State.CLOSED)
    (change,) = twins.call(Result.FAILURE)
    assert change.reason == "10 of 20 calls failed within 30 s"
    assert twins.state is State.OPEN


def test_fewer_than_half_or_fewer_than_twenty_do_not(twins: Twins) -> None:
    alternate(twins, 9)
    assert twins.call(Result.FAILURE) == []
    twins.calls(4, Result.SUCCESS)
    for _ in range(20):
        assert twins.call(Result.FAILURE) == []
        twins.calls(2, Result.SUCCESS)
    assert twins.state is State.CLOSED


def test_calls_older_than_the_window_do_not_count(twins: Twins) -> None:
    alternate(twins, 9)
    twins.call(Result.SUCCESS)
    twins.wait(29)
    assert twins.status.calls == 19
    twins.wait(1)
    assert twins.status.calls == 0
    assert twins.call(Result.FAILURE) == []


def test_a_window_in_which_every_second_has_calls_stays_small(twins: Twins) -> None:
    for _ in range(100):
        twins.calls(3, Result.SUCCESS)
        twins.wait(1)
    assert twins.status.calls == 3 * 29
    assert len(twins.kept().window) < 1000


def test_a_probe_may_go_when_the_recovery_is_over(twins: Twins) -> None:
    opened(twins).wait(59.999)
    assert twins.status.waits == seconds(0.001)
    assert twins.admit().admission is None
    twins.wait(0.001)
    assert (twins.status.state, twins.status.waits, said(twins)) == (State.OPEN, seconds(0), None)
    assert twins.status.needs_probe
    admitted = twins.admit()
    assert admitted.admission is not None
    assert (admitted.admission.probe, admitted.admission.epoch) == (True, 2)
    assert admitted.changes[0].reason == "the recovery is over: a probe goes"
    assert twins.state is State.HALF_OPEN


def test_one_probe_goes_at_a_time(twins: Twins) -> None:
    probe = due(twins).admission()
    assert said(twins) == "breaker half-open, its probe is under way"
    assert twins.status.waits == LEASE
    assert twins.admit().admission is None
    twins.record(probe, Result.SUCCESS)
    assert said(twins) is None
    assert twins.admission().token != probe.token


def test_of_many_who_ask_at_once_one_gets_the_probe(twins: Twins) -> None:
    due(twins)
    together = Barrier(8)

    def ask(_number: int) -> Admission | None:
        together.wait()
        return twins.shared.admit(DUE, lease=LEASE).admission

    with ThreadPoolExecutor(8) as pool:
        given = [admission for admission in pool.map(ask, range(8)) if admission]
    assert [each.probe for each in given] == [True]


def test_two_answered_probes_in_a_row_close_it(twins: Twins) -> None:
    due(twins).call(Result.SUCCESS)
    assert twins.state is State.HALF_OPEN
    (change,) = twins.call(Result.SUCCESS)
    assert (change.after, change.reason) == (State.CLOSED, "2 probes in a row were answered")
    assert (twins.status.failures, twins.status.epoch) == (0, 3)


def test_recovery_doubles_while_probes_fail_up_to_ten_minutes(twins: Twins) -> None:
    due(twins)
    waits = []
    for _ in range(6):
        *_, change = twins.call(Result.FAILURE)
        assert (change.after, change.reason) == (State.OPEN, "the probe failed")
        waits.append(twins.status.waits)
        twins.wait(twins.status.waits.total_seconds() if twins.status.waits else 0)
    assert waits == [seconds(each) for each in (120, 240, 480, 600, 600, 600)]
    twins.calls(2, Result.SUCCESS)
    assert opened(twins).status.waits == seconds(60)


def test_a_failed_probe_after_an_answered_one_opens_it_again(twins: Twins) -> None:
    due(twins).call(Result.SUCCESS)
    twins.call(Result.FAILURE)
    assert twins.status.waits == seconds(120)
    twins.wait(120)
    twins.call(Result.SUCCESS)
    assert twins.state is State.HALF_OPEN


@pytest.mark.parametrize("result", [Result.NEUTRAL, Result.ABANDONED])
def test_a_probe_that_says_nothing_makes_room_for_the_next(twins: Twins, result: Result) -> None:
    due(twins)
    twins.call(Result.SUCCESS)
    for _ in range(3):
        twins.call(result)
        assert (twins.state, said(twins)) == (State.HALF_OPEN, None)
    twins.call(Result.SUCCESS)
    assert twins.state is State.CLOSED


def test_an_abandoned_call_counts_nowhere(twins: Twins) -> None:
    twins.calls(4, Result.FAILURE)
    twins.call(Result.ABANDONED)
    assert (twins.status.calls, twins.status.failures_in_a_row) == (4, 4)


def test_a_lease_that_ends_with_nothing_heard_is_a_failed_probe(twins: Twins) -> None:
    lost = due(twins).admission(seconds(10))
    twins.wait(9.999)
    assert twins.state is State.HALF_OPEN
    twins.wait(5.001)
    # It failed when its lease ended, not when somebody looked.
    assert (twins.status.state, twins.status.waits) == (State.OPEN, seconds(115))
    (change,) = twins.record(lost, Result.SUCCESS)
    assert change.reason == "the probe's lease ended, and nothing was heard"
    assert change.at.timestamp() * 1000 == twins.now - 5000
    twins.wait(115)
    twins.calls(2, Result.SUCCESS)
    assert twins.status.state is State.CLOSED


def test_a_lease_that_ends_after_an_answer_makes_room_for_the_next(twins: Twins) -> None:
    due(twins).call(Result.SUCCESS)
    lost = twins.admission(seconds(10))
    twins.wait(10)
    assert (twins.state, said(twins)) == (State.HALF_OPEN, None)
    probe = twins.admission()
    assert twins.record(lost, Result.FAILURE) == []
    assert said(twins) == "breaker half-open, its probe is under way"
    twins.record(probe, Result.SUCCESS)
    assert twins.state is State.CLOSED


def test_a_lease_lost_long_ago_does_not_keep_the_next_probe_back(twins: Twins) -> None:
    due(twins).admission()
    twins.wait(3600)
    admitted = twins.admit()
    assert admitted.admission is not None
    assert admitted.admission.probe
    assert [change.after for change in admitted.changes] == [State.OPEN, State.HALF_OPEN]


@pytest.mark.parametrize("result", Result)
def test_results_of_an_older_epoch_change_nothing(twins: Twins, result: Result) -> None:
    old = twins.admission()
    report = Report(result, seconds(1), seconds(0), cool_down=seconds(30))
    for prepare in (opened, lambda each: each.wait(60), lambda each: each.admission(), close):
        prepare(twins)
        before = twins.kept()
        assert twins.record(old, report) == []
        assert twins.kept() == before
    assert twins.status.epoch == 3


def close(twins: Twins) -> None:
    twins.record(Admission(NAME, twins.memory.epoch, True, twins.memory.token), Result.SUCCESS)
    twins.call(Result.SUCCESS)
    assert twins.state is State.CLOSED


def test_nobody_else_ends_a_probe(twins: Twins) -> None:
    probe = due(twins).admission()
    for token in ("", "another"):
        assert twins.record(Admission(NAME, probe.epoch, True, token), Result.FAILURE) == []
    assert said(twins) == "breaker half-open, its probe is under way"


def short(started: float, ended: float) -> Report:
    return Report(Result.SHORT_TIMEOUT, seconds(started), seconds(ended))


def test_short_time_outs_of_a_silent_service_are_failures(twins: Twins) -> None:
    twins.call(Result.SUCCESS)
    twins.wait(1.001)
    twins.calls(4, short(1, 0))
    assert twins.status.failures_in_a_row == 4
    twins.call(short(1, 0))
    assert twins.state is State.OPEN


@pytest.mark.parametrize("answer", [Result.SUCCESS, Result.NEUTRAL])
def test_a_short_time_out_says_nothing_if_somebody_was_answered_meanwhile(
    twins: Twins, answer: Result
) -> None:
    twins.calls(4, Result.FAILURE)
    twins.call(answer)
    twins.wait(1)
    before = twins.kept()
    for report in (short(1, 0), short(1.5, 0.5), short(5, 1)):
        assert twins.call(report) == []
    assert twins.kept() == before


def test_only_answers_between_its_start_and_its_end_excuse_a_short_time_out(twins: Twins) -> None:
    twins.call(Result.SUCCESS)
    twins.wait(10)
    twins.call(Result.SUCCESS)
    # Begun after the first answer, over before the second, and told of only now.
    twins.call(short(9.999, 0.001))
    assert twins.status.failures_in_a_row == 1
    twins.call(short(10, 0.001))
    assert twins.status.failures_in_a_row == 1
    # An answer counts from when it came, not from when it was told.
    twins.call(Report(Result.NEUTRAL, seconds(9), seconds(5)))
    twins.call(short(6, 4))
    assert twins.status.failures_in_a_row == 1
    twins.call(short(4, 2))
    assert twins.status.failures_in_a_row == 2


def test_a_short_time_out_of_a_probe_is_a_failure_too(twins: Twins) -> None:
    probe = due(twins).admission()
    twins.wait(1)
    (change,) = twins.record(probe, short(1, 0))
    assert change.after is State.OPEN


def test_a_cool_down_passes_over_the_service_and_changes_no_state(twins: Twins) -> None:
    twins.calls(4, Result.FAILURE)
    before = twins.status
    limited = Report(Result.NEUTRAL, seconds(2), seconds(1), cool_down=seconds(20.5))
    assert twins.call(limited) == []
    after = twins.status
    assert (after.state, after.epoch, after.failures_in_a_row) == (before.state, before.epoch, 4)
    assert after.cool_down_left == after.available_in == seconds(19.5)
    assert said(twins) == "rate limited for another 20 s"
    assert after.admission() is None
    assert twins.admit().admission is None
    twins.wait(19.5)
    assert (said(twins), twins.status.cool_down_left) == (None, None)
    assert twins.admission() == Admission(NAME, 0)


def test_the_longer_of_two_cool_downs_counts(twins: Twins) -> None:
    admissions = [twins.admission(), twins.admission()]
    for admission, wait in zip(admissions, (30, 10), strict=True):
        twins.record(admission, Report(Result.NEUTRAL, cool_down=seconds(wait)))
    assert twins.status.cool_down_left == seconds(30)


def test_a_probe_that_is_rate_limited_makes_room_for_the_next_after_the_cool_down(twins: Twins) -> None:
    due(twins).call(Report(Result.NEUTRAL, cool_down=seconds(5)))
    assert (twins.state, twins.admit().admission) == (State.HALF_OPEN, None)
    twins.wait(5)
    assert twins.admission().probe


def test_an_absurd_cool_down_ends_after_a_day(twins: Twins) -> None:
    twins.call(Report(Result.NEUTRAL, cool_down=seconds(10**9)))
    assert twins.status.cool_down_left == seconds(86_400)


def test_held_open_it_admits_nobody_until_it_is_given_back(twins: Twins) -> None:
    (change,) = twins.force(State.OPEN)
    assert (change.before, change.after, change.reason) == (State.CLOSED, State.OPEN, "opened by hand")
    twins.wait(86_400)
    status = twins.status
    assert (status.forced, status.waits, status.available_in) == (State.OPEN, None, None)
    assert said(twins) == "breaker opened by hand"
    assert twins.admit().admission is None
    (change,) = twins.force(None)
    assert (change.after, change.reason) == (State.HALF_OPEN, "back to automatic")
    assert twins.admission().probe


def test_held_closed_it_stays_so_however_many_calls_fail(twins: Twins) -> None:
    opened(twins)
    (change,) = twins.force(State.CLOSED)
    assert (change.before, change.after, change.reason) == (State.OPEN, State.CLOSED, "closed by hand")
    twins.calls(30, Result.FAILURE)
    assert (twins.state, twins.status.failures) == (State.CLOSED, 30)
    twins.force(None)
    assert (twins.state, twins.status.failures, twins.status.failures_in_a_row) == (State.CLOSED, 0, 0)
    assert opened(twins).status.waits == seconds(60)


def test_an_operators_word_ends_a_cool_down_and_is_given_once(twins: Twins) -> None:
    twins.call(Report(Result.NEUTRAL, cool_down=seconds(20)))
    twins.force(State.CLOSED)
    assert said(twins) is None
    assert twins.force(State.CLOSED) == []
    twins.force(None)
    assert twins.force(None) == []


def test_an_operators_word_makes_results_under_way_old(twins: Twins) -> None:
    probe = due(twins).admission()
    twins.force(State.OPEN)
    assert twins.record(probe, Result.SUCCESS) == []
    twins.force(None)
    assert twins.record(probe, Result.FAILURE) == []
    assert twins.state is State.HALF_OPEN


def test_redis_forgets_an_idle_breaker_but_never_one_that_is_held(twins: Twins) -> None:
    twins.call(Result.SUCCESS)
    assert 86_400 < client().ttl(twins.key) <= 2 * 86_400
    twins.force(State.OPEN)
    assert client().ttl(twins.key) == -1
    twins.force(None)
    assert 86_400 < client().ttl(twins.key) <= 2 * 86_400


def test_a_changed_state_forgets_what_was_counted(twins: Twins) -> None:
    alternate(twins, 7)
    twins.calls(5, Result.FAILURE)
    twins.wait(60)
    twins.calls(2, Result.SUCCESS)
    assert (twins.status.state, twins.status.calls) == (State.CLOSED, 0)


def test_its_numbers_are_settings() -> None:
    twins = Twins(
        Settings(
            opens_after=2,
            recovery=seconds(0.5),
            recovery_at_most=seconds(0.7),
            closes_after=1,
            share=0.25,
            least_calls=4,
            window=seconds(3),
        )
    )
    twins.calls(2, Result.FAILURE)
    assert twins.status.waits == seconds(0.5)
    twins.wait(0.5)
    twins.call(Result.FAILURE)
    assert twins.status.waits == seconds(0.7)
    twins.wait(0.7)
    twins.call(Result.SUCCESS)
    assert twins.state is State.CLOSED
    twins.calls(3, Result.SUCCESS)
    (change,) = twins.call(Result.FAILURE)
    assert change.reason == "1 of 4 calls failed within 3 s"


def test_breakers_of_several_names_are_read_at_once_and_know_nothing_of_each_other(twins: Twins) -> None:
    opened(twins)
    found = twins.shared.statuses_of([NAME, "other"])
    assert list(found) == [NAME, "other"]
    assert [each.state for each in found.values()] == [State.OPEN, State.CLOSED]
    assert twins.shared.statuses_of([]) == {}


def test_the_last_success_and_the_last_change_are_known(twins: Twins) -> None:
    twins.call(Report(Result.SUCCESS, ended_ago=seconds(2)))
    twins.call(Result.NEUTRAL)
    twins.wait(5)
    opened(twins)
    status: Status = twins.status
    assert status.succeeded_at is not None
    assert status.since is not None
    assert (status.succeeded_at.timestamp(), status.since.timestamp()) == (
        START / 1000 - 2,
        START / 1000 + 5,
    )
