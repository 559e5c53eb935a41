"""Ask the orchestrator and the bare client the same in turn, and print how long each took, in milliseconds.

Blocks of a hundred calls alternate, so that whatever else the machine does disturbs both alike. Both speak
through the same kept client. With `hits`, ours asks what is in the cache.
"""

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import django

BLOCK = 100
_PROMPT = "assistant_caption"


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huntaze.settings")
    parser = argparse.ArgumentParser(
        prog="python -m tests.performance.orchestrator_load", description=__doc__
    )
    parser.add_argument("calls", type=int)
    parser.add_argument("--hits", action="store_true")
    given = parser.parse_args()
    django.setup()
    from tests.performance.orchestrator_sides import Sides

    sides = Sides(hits=given.hits)
    for number in range(BLOCK):
        sides.ours(-1 - number)
        sides.bare(-1 - number)
    ours: list[float] = []
    bare: list[float] = []
    gc.collect()
    gc.freeze()
    for start in range(0, given.calls, BLOCK):
        for side, times in ((sides.ours, ours), (sides.bare, bare)):
            times += [_timed(side, number) for number in range(start, start + BLOCK)]
    sides.check(given.calls)
    sys.stdout.write(json.dumps({"ours": _figures(ours), "bare": _figures(bare)}) + "\n")


def _timed(side: Callable[[int], object], number: int) -> float:
    started = time.perf_counter()
    side(number)
    return (time.perf_counter() - started) * 1000


def _figures(times: list[float]) -> dict[str, Any]:
    return {"median": statistics.median(times), "p95": statistics.quantiles(times, n=20)[-1]}


if __name__ == "__main__":
    main()
