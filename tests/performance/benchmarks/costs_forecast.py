"""Totals to a month's end as they are forecast, against the seasonal naive forecast: the error of both."""

import os
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from huntaze.stack import Stack
from tests.performance import forecast_trial
from tests.performance.forecast_series import KINDS, PUBLIC, public
from tests.performance.forecast_trial import Trial
from tests.performance.harness import Benchmark, Sides
from tests.performance.running import say

# Of each kind of series; of the public ones, that are longer, three times as many.
FORECASTS = int(os.environ.get("HUNTAZE_BENCH_FORECASTS", "24"))


class Trials:
    """Made once, for both sides."""

    def __init__(self) -> None:
        tasks = [
            *forecast_trial.synthetic(forecasts=FORECASTS),
            *forecast_trial.short(forecasts=10 * FORECASTS),
        ]
        for name, series in public().items():
            tasks += forecast_trial.of_public(name, series, forecasts=3 * FORECASTS)
        self.found = forecast_trial.run(tasks)

    def report(self) -> None:
        say("series          forecasts   error   naive   days 80 %   95 %   totals 80 %   95 %")
        for name in dict.fromkeys(each.series for each in self.found):
            say(_line(name, self.of(name)))
        say(_line("all made ones", self.of(*KINDS)))
        tested = [each.seconds for each in self.of(*KINDS, *PUBLIC)]
        say(f"{statistics.mean(tested):.2f} s a forecast, {max(tested):.2f} s at most")
        methods = Counter(each.method for each in self.found)
        say("served: " + ", ".join(f"{number} {name}" for name, number in methods.most_common()))

    def of(self, *names: str) -> list[Trial]:
        return [each for each in self.found if each.series in names]


def error(trials: Sequence[Trial]) -> float:
    """How far totals were off, in percent of all of them."""
    return 100 * sum(each.error for each in trials) / sum(each.total for each in trials)


def naive_error(trials: Sequence[Trial]) -> float:
    return 100 * sum(each.naive_error for each in trials) / sum(each.total for each in trials)


def _line(name: str, trials: Sequence[Trial]) -> str:
    days_80, days_95, total_80, total_95 = (
        100 * statistics.mean(getattr(each, column) for each in trials)
        for column in ("days_80", "days_95", "total_80", "total_95")
    )
    return (
        f"{name:15} {len(trials):9} {error(trials):6.1f}% {naive_error(trials):6.1f}%"
        f" {days_80:10.1f}% {days_95:5.1f}% {total_80:12.1f}% {total_95:5.1f}%"
    )


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    trials = Trials()
    trials.report()
    # One kind of series counts as much as another, whatever its amounts.
    series = [found for name in (*KINDS, *PUBLIC) if (found := trials.of(name))]
    yield Sides(
        ours=lambda: statistics.mean(map(error, series)),
        peer=lambda: statistics.mean(map(naive_error, series)),
    )


BENCHMARK = Benchmark(
    name="costs.forecast",
    peer_name="the seasonal naive forecast",
    unit="% off at a month's end",
    sides=sides,
    rounds=1,
    warm_up=False,
)
