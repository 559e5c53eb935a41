"""Processes of a benchmark: servers and workers beside the stack, and the clients that load them."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from huntaze.processes import guarded
from tests.performance.harness import ROOT

# Far more than a round takes: something hangs.
_ROUND_SECONDS = 60
_END_SECONDS = 15


class RoundError(Exception):
    """A round measured nothing; the message says what went wrong."""


@contextmanager
def process(command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> Iterator[int]:
    """Run a command in the background, with what it starts; it ends with the block, and with us. Its pid."""
    with log.open("ab") as output:
        started = subprocess.Popen(
            [*guarded("TERM", str(os.getpid())), *command],
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield started.pid
    finally:
        started.terminate()
        try:
            started.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def measure(module: str, *arguments: str, environment: Mapping[str, str]) -> float:
    """Run a client of tests/performance in a process of its own; the number that it prints.

    Raises RoundError with its last words.
    """
    return float(run_to_end(f"tests.performance.{module}", *arguments, environment=environment))


def run_to_end(module: str, *arguments: str, environment: Mapping[str, str]) -> str:
    """Run a module in a process of its own; what it prints. Raises RoundError with its last words."""
    try:
        done = subprocess.run(
            [*guarded("KILL", str(os.getpid())), sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=dict(environment),
            capture_output=True,
            text=True,
            timeout=_ROUND_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise RoundError(f"{module} took more than {_ROUND_SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        words = error.stderr.strip().splitlines() or ["no reason given"]
        raise RoundError(f"{module} failed: {words[-1]}") from error
    return done.stdout


def say(line: str) -> None:
    """Print a figure that isn't compared."""
    sys.stdout.write(f"  {line}\n")
    sys.stdout.flush()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
