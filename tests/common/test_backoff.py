import random
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from apps.common.backoff import full_jitter

SECONDS = st.floats(0.001, 600).map(lambda seconds: timedelta(seconds=seconds))


class Highest(random.Random):
    def random(self) -> float:
        return 1.0


@given(st.integers(-1, 10_000), SECONDS, SECONDS, st.integers())
def test_a_wait_is_never_longer_than_its_limits(
    tries: int, base: timedelta, most: timedelta, seed: int
) -> None:
    wait = full_jitter(tries, base=base, most=most, rng=random.Random(seed))  # noqa: S311

    assert timedelta() <= wait <= most
    assert tries > 1 or wait <= base


def test_the_longest_wait_doubles_with_every_try() -> None:
    def longest(tries: int) -> float:
        seconds = full_jitter(tries, base=timedelta(seconds=2), most=timedelta(minutes=5), rng=Highest())
        return seconds.total_seconds()

    assert [longest(tries) for tries in (0, 1, 2, 3, 8, 9, 99)] == [2, 2, 4, 8, 256, 300, 300]


def test_waits_are_spread_over_the_whole_span() -> None:
    rng = random.Random(1)  # noqa: S311  # the same draws each time
    second = timedelta(seconds=1)
    waits = [full_jitter(1, base=second, most=second, rng=rng) / second for _ in range(1000)]
    assert min(waits) < 0.05
    assert max(waits) > 0.95
    assert 0.45 < sum(waits) / len(waits) < 0.55
