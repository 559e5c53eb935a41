import argparse
import json
import signal
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from typing import NoReturn

from rich.console import Console
from rich.table import Column, Table

from huntaze import embedded
from huntaze.places import StartError
from tests.live import live_stack
from tests.performance.harness import ROOT, Result, UnknownBenchmarkError, compare, load, select
from tests.performance.running import RoundError

REPORT = ROOT / "var" / "bench.json"

console = Console(highlight=False)


def run(prefix: str) -> list[Result]:
    """Run the benchmarks whose names begin so, on stacks of this run's own, which are removed afterwards."""
    chosen = select(load(), prefix=prefix)
    homes = {each.data: ROOT / "var" / f"bench-{each.data}" for each in chosen}
    results: list[Result] = []
    with ExitStack() as cleanup:
        for home in homes.values():
            embedded.remove(home)
            cleanup.callback(embedded.remove, home)
        for benchmark in chosen:
            console.print(f"[dim]{benchmark.name}, against {benchmark.peer_name}[/]")
            home = homes[benchmark.data]
            with live_stack(home, only=benchmark.processes) as stack, benchmark.sides(stack) as sides:
                results.append(compare(benchmark, sides))
    return results


def table(results: Iterable[Result]) -> Table:
    right = [Column(name, justify="right") for name in ("Ours", "Peer", "Ratio")]
    shown = Table("Benchmark", *right, "Unit", "Peer is", title="Medians; ratio = ours ÷ peer")
    for each in results:
        figures = (f"{each.ours:,.1f}", f"{each.peer:,.1f}", f"{each.ratio:.2f}")
        shown.add_row(each.name, *figures, each.unit, each.peer_name)
    return shown


def write(results: Iterable[Result]) -> None:
    """Leave the figures in var/bench.json, whole or not at all."""
    draft = REPORT.with_suffix(".new")
    draft.write_text(json.dumps([asdict(each) for each in results], indent=2) + "\n")
    draft.replace(REPORT)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.performance", description="Compare Huntaze with its peers."
    )
    parser.add_argument("prefix", nargs="?", default="", help="only benchmarks whose names begin so")
    arguments = parser.parse_args()
    # So that everything we started is ended when make is.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        results = run(arguments.prefix)
    except (UnknownBenchmarkError, StartError, RoundError) as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    write(results)
    console.print(table(results))
    console.print(f"The figures are in {REPORT.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
