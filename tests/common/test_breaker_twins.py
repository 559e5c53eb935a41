"""Whatever is done to a breaker: Redis and Python agree on it, and it keeps its promises."""

from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from apps.common.breaker.rules import Admission, Report, Result, Settings, State, milliseconds
from apps.common.breaker.window import Counted
from tests.common.breaker_twins import Twins, seconds

# So small that a short trace goes through every state; a bucket is 100 ms.
SMALL = Settings(
    opens_after=3,
    least_calls=6,
    window=seconds(3),
    recovery=seconds(1),
    recovery_at_most=seconds(3),
)
# Around the edges of buckets, windows, leases and recoveries.
spans = st.sampled_from([0, 0, 1, 50, 99, 100, 101, 900, 999, 1000, 1001, 2900, 3000, 6000])
pauses = spans.map(lambda number: timedelta(milliseconds=number))
reports = st.builds(
    lambda result, length, ended, cool: Report(result, length + ended, ended, cool),
    st.sampled_from([*Result, Result.SUCCESS, Result.FAILURE, Result.FAILURE, Result.SHORT_TIMEOUT]),
    pauses,
    pauses,
    st.sampled_from([None] * 8 + [seconds(0), seconds(0.1), seconds(2)]),
)
wishes = st.sampled_from([State.OPEN, State.CLOSED, None, None])
steps = st.one_of(
    st.tuples(st.just("call"), reports),
    st.tuples(st.just("call"), reports),
    st.tuples(st.just("begin"), pauses),
    # Of one that has begun before, the latest first; perhaps a second time.
    st.tuples(st.just("end"), st.tuples(st.integers(0, 3), reports)),
    st.tuples(st.just("wait"), pauses),
    st.tuples(st.just("hold"), wishes),
)


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, min_size=10, max_size=40))
def test_redis_and_python_take_the_same_steps(trace: list[tuple[str, object]]) -> None:
    twins, begun = Twins(SMALL), list[Admission]()
    for what, detail in trace:
        match what, detail:
            case "call", Report() as report:
                if admission := twins.admit().admission:
                    twins.record(admission, report)
            case "begin", timedelta() as lease:
                begun += [each for each in [twins.admit(lease).admission] if each]
            case "end", (int() as place, Report() as report):
                if begun:
                    twins.record(begun[-1 - place % len(begun)], report)
            case "wait", timedelta() as pause:
                twins.now += milliseconds(pause)
            case "hold", (State() | None) as wish:
                twins.force(wish)
        # Compares what is read.
        assert twins.status.calls >= twins.status.failures >= 0


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.sampled_from([None, False, True]), st.none() | st.integers(0, 2000))
    )
)
def test_the_window_counts_what_a_list_of_all_calls_would(
    told: list[tuple[int, bool | None, int | None]],
) -> None:
    now, text, calls, answers = 1_000_000, "", list[tuple[int, bool]](), list[int]()
    for pause, failed, ago in told:
        now += pause
        answered = None if ago is None else now - ago
        text = Counted(text, 3000, now).add(failed=failed, answered=answered)
        calls += [] if failed is None else [(now, failed)]
        answers += [] if answered is None else [answered]
    counted, oldest = Counted(text, 3000, now), (now // 100 - 29) * 100
    recent = [failed for at, failed in calls if at >= oldest]
    assert counted.total() == (len(recent), sum(recent))
    assert text.count(";") <= 60
    for start in range(oldest, now, 170):
        # At least as long as a bucket, of which the window knows all.
        end = start + 100
        assert counted.answered_between(start, end) == any(start <= each <= end for each in answers)


class Callers(RuleBasedStateMachine):
    """Callers who may begin, end, forget and repeat calls, and an operator."""

    admissions = Bundle("admissions")

    def __init__(self) -> None:
        super().__init__()
        self.twins = Twins(SMALL)
        self.epoch = 0
        # The probe that is out: until when its lease lasts.
        self.out: dict[str, int] = {}

    @rule(target=admissions, lease=st.sampled_from([seconds(0.5), seconds(1), seconds(2)]))
    def begin(self, lease: timedelta) -> Admission | None:
        before = self.twins.status
        admission = self.twins.admit(lease).admission
        assert (admission is None) == (before.excluded is not None)
        if admission and admission.probe:
            assert before.state is not State.CLOSED
            assert self.live() == [], "a second probe"
            self.out[admission.token] = self.twins.now + milliseconds(lease)
        return admission

    def live(self) -> list[str]:
        return [token for token, until in self.out.items() if until > self.twins.now]

    @rule(admission=admissions, report=reports)
    def end(self, admission: Admission | None, report: Report) -> None:
        if admission is None:
            return
        status, kept = self.twins.status, self.twins.kept()
        changes = self.twins.record(admission, report)
        if admission.epoch != status.epoch:
            # Nothing but what time alone has done by now.
            reasons = {change.reason for change in changes}
            assert reasons <= {"the probe's lease ended, and nothing was heard"}
            if not changes and not (kept.token and kept.until <= self.twins.now):
                assert self.twins.kept() == kept
        self.out.pop(admission.token, None)

    @rule(report=reports)
    def call(self, report: Report) -> None:
        self.end(self.begin(seconds(1)), report)

    @rule()
    def fail(self) -> None:
        """Often enough to open it, and until it may be probed."""
        for _ in range(SMALL.opens_after):
            self.call(Report(Result.FAILURE))
        self.wait_for_the_next_probe()

    @rule(pause=pauses)
    def wait(self, pause: timedelta) -> None:
        self.twins.now += milliseconds(pause)

    @rule()
    def wait_for_the_next_probe(self) -> None:
        left = self.twins.status.available_in
        self.twins.now += milliseconds(left) if left else 0

    @rule(wish=wishes)
    def hold(self, wish: State | None) -> None:
        if self.twins.force(wish):
            self.out.clear()

    @precondition(lambda self: self.twins.status.forced is None)
    @rule()
    def recover(self) -> None:
        """From wherever it is, a service that works again is called again."""
        # Longer than any lease and cool-down.
        self.twins.now += milliseconds(seconds(5))
        left = self.twins.status.available_in
        assert left is not None
        assert left <= SMALL.recovery_at_most
        self.twins.now += milliseconds(left)
        self.twins.calls(SMALL.closes_after, Result.SUCCESS)
        assert self.twins.state is State.CLOSED
        self.out.clear()

    @invariant()
    def epochs_never_fall(self) -> None:
        epoch = self.twins.status.epoch
        assert epoch >= self.epoch
        self.epoch = epoch

    @invariant()
    def what_is_said_agrees_with_itself(self) -> None:
        status = self.twins.status
        assert (status.admission() is None) == (bool(status.excluded) or status.needs_probe)
        assert (status.waits is None) == (status.state is State.CLOSED or status.forced is State.OPEN)
        if status.forced:
            assert status.state is status.forced


def test_whatever_callers_do_one_probe_is_out_and_nothing_is_stuck() -> None:
    run_state_machine_as_test(
        Callers,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
