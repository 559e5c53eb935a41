"""Run a sandbox server as its users do: in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.unmeasured import unmeasured

REPOSITORY = Path(__file__).resolve().parents[2]


class Server:
    """A running server; `url` is where it said it is."""

    def __init__(self, *arguments: str, before_start: Callable[[], None] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "apps.sandbox", *arguments],
            cwd=REPOSITORY,
            # A limit set before the start would hit what measures coverage, too.
            env={**(unmeasured() if before_start else os.environ), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=before_start,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.url = line.rsplit(" ", 1)[-1].strip()
        assert self.url.startswith("http://"), self.stop(signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal, wait; the exit code and what was written to stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=10)
        return self.process.returncode, errors


@contextmanager
def running(*arguments: str, before_start: Callable[[], None] | None = None) -> Iterator[Server]:
    """A server for the length of a block; what it wrote to stderr must be nothing."""
    server = Server(*arguments, before_start=before_start)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            code, errors = server.stop()
            assert (code, errors) == (0, ""), f"{code}: {errors}"
