"""A provider that answers at once, and blocks of calls in turn, for the benchmarks of the orchestrator."""

import json
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from huntaze.stack import Stack
from tests.performance.harness import Sides
from tests.performance.running import free_port, process, run_to_end, say

CALLS = 2_000


@contextmanager
def provider(stack: Stack) -> Iterator[dict[str, str]]:
    """The stack's environment with a stand-in for OpenAI that costs as little as can be, and no Azure."""
    port = free_port()
    command = (sys.executable, "-m", "tests.performance.completions", str(port))
    with process(command, environment=stack.environment, log=stack.log_of("completions")):
        yield {
            **stack.environment,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
            "OPENAI_API_KEY": "none",
            "AZURE_OPENAI_API_KEY": "",
            "HUNTAZE_LOG_LEVEL": "WARNING",
        }


class Blocks:
    """Each run measures both sides; whichever is asked for first starts it, the other gets its share."""

    def __init__(self, environment: dict[str, str], *, figure: str, hits: bool = False) -> None:
        self._environment, self._figure = environment, figure
        self._arguments = (str(CALLS), *(("--hits",) if hits else ()))
        self._measured: dict[str, deque[float]] = {"ours": deque(), "bare": deque()}

    @property
    def sides(self) -> Sides:
        return Sides(ours=lambda: self._next("ours"), peer=lambda: self._next("bare"))

    def _next(self, side: str) -> float:
        if not self._measured[side]:
            printed = run_to_end(
                "tests.performance.orchestrator_load", *self._arguments, environment=self._environment
            )
            found = json.loads(printed)
            for name, figures in found.items():
                self._measured[name].append(figures[self._figure])
            ours, bare = (found[name][self._figure] for name in ("ours", "bare"))
            say(f"{self._figure}: {ours:.2f} against {bare:.2f} ms: {ours - bare:+.2f} ms")
        return self._measured[side].popleft()
