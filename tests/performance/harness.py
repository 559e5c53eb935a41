"""What a benchmark is, and how two sides are compared on a machine that isn't quiet."""

import importlib
import pkgutil
import statistics
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from huntaze.stack import Stack
from tests.performance import benchmarks

ROOT = Path(__file__).resolve().parents[2]
# Odd, so that the median is one that was measured.
ROUNDS = 5


@dataclass(frozen=True)
class Sides:
    """Each runs one round and returns what it measured, in the benchmark's unit."""

    ours: Callable[[], float]
    peer: Callable[[], float]


@dataclass(frozen=True)
class Benchmark:
    """One comparison. `sides` sets both up on a stack that runs `processes` besides its services.

    Benchmarks of one run that name the same `data` find in the database what the others have left there.
    """

    name: str
    peer_name: str
    unit: str
    sides: Callable[[Stack], AbstractContextManager[Sides]]
    processes: tuple[str, ...] = ()
    data: str = "shared"
    rounds: int = ROUNDS
    # A round that takes minutes of a steady state needs none.
    warm_up: bool = True


@dataclass(frozen=True)
class Result:
    """Medians over the rounds; `ratio` is ours ÷ peer."""

    name: str
    ours: float
    peer: float
    peer_name: str
    ratio: float
    unit: str


class UnknownBenchmarkError(Exception):
    """No benchmark's name begins so."""


def load() -> list[Benchmark]:
    """The `BENCHMARK` of every module in tests/performance/benchmarks, by name."""
    names = [each.name for each in pkgutil.iter_modules(benchmarks.__path__)]
    modules = [importlib.import_module(f"{benchmarks.__name__}.{name}") for name in names]
    found: list[Benchmark] = [module.BENCHMARK for module in modules]
    return sorted(found, key=lambda each: each.name)


def select(known: Iterable[Benchmark], *, prefix: str) -> list[Benchmark]:
    """Those whose names begin with `prefix`. Raises UnknownBenchmarkError, which names all there are."""
    known = list(known)
    chosen = [each for each in known if each.name.startswith(prefix)]
    if not chosen:
        names = ", ".join(each.name for each in known)
        raise UnknownBenchmarkError(f"no benchmark's name begins with {prefix!r}; there are: {names}")
    return chosen


def compare(benchmark: Benchmark, sides: Sides) -> Result:
    """Alternate between the sides, each going first in turn, after one round each that warms them up.

    Whatever else the machine does meanwhile then disturbs both alike, and medians leave out the worst of it.
    """
    pair = (sides.ours, sides.peer)
    measured: dict[Callable[[], float], list[float]] = {side: [] for side in pair}
    if benchmark.warm_up:
        for side in pair:
            side()
    for number in range(benchmark.rounds):
        for side in pair if number % 2 == 0 else reversed(pair):
            measured[side].append(side())
    ours, peer = (statistics.median(measured[side]) for side in pair)
    return Result(benchmark.name, ours, peer, benchmark.peer_name, ours / peer, benchmark.unit)
