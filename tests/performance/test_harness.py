from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import pytest

from huntaze.stack import Stack
from tests.performance.harness import Benchmark, Sides, UnknownBenchmarkError, compare, load, select


def no_sides(_stack: Stack) -> AbstractContextManager[Sides]:
    return nullcontext(Sides(ours=lambda: 1, peer=lambda: 1))


def benchmark(name: str) -> Benchmark:
    return Benchmark(name=name, peer_name="a peer", unit="turns", sides=no_sides, rounds=3)


def test_every_module_brings_one_benchmark_with_a_name_of_its_own() -> None:
    names = [each.name for each in load()]
    assert {"api.health", "celery.noop"} <= set(names)
    assert len(names) == len(set(names))


def test_a_prefix_selects_and_nothing_selects_all() -> None:
    known = [benchmark("api.health"), benchmark("api.list"), benchmark("celery.noop")]
    assert [each.name for each in select(known, prefix="api")] == ["api.health", "api.list"]
    assert select(known, prefix="") == known


def test_an_unknown_prefix_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(UnknownBenchmarkError, match=r"'nosuch'; there are: api\.health, celery\.noop"):
        select([benchmark("api.health"), benchmark("celery.noop")], prefix="nosuch")


def test_the_sides_take_turns_and_warming_up_does_not_count() -> None:
    order: list[str] = []

    def side(name: str, *measures: float) -> float:
        order.append(name)
        return measures[order.count(name) - 1]

    result = compare(
        benchmark("any"),
        Sides(ours=lambda: side("ours", 900, 10, 40, 20), peer=lambda: side("peer", 900, 5, 1, 90)),
    )
    assert order == ["ours", "peer", "ours", "peer", "peer", "ours", "ours", "peer"]
    assert (result.ours, result.peer, result.ratio) == (20, 5, 4)


def test_a_benchmark_may_do_without_warming_up() -> None:
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        return 1

    sides = Sides(ours=lambda: side("ours"), peer=lambda: side("peer"))
    compare(replace(benchmark("any"), rounds=1, warm_up=False), sides)
    assert order == ["ours", "peer"]
