"""What the benchmarks of dispatch share: the gateway's stand-in, the workers, and a round's end."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import psutil

from huntaze import processes
from huntaze.places import Home
from huntaze.stack import Stack
from tests.performance.arrivals import SECOND, Arrivals
from tests.performance.rows import WIDE, Rows
from tests.performance.running import RoundError, free_port, process, say
from tests.waiting import TooLateError, wait_until

WORKERS = 2
# Of each worker, ours or the peer's.
CONCURRENCY = processes.WORKERS["dispatch"]


@dataclass(frozen=True)
class Gateway:
    url: str
    arrivals: Arrivals


# All layers are in force, and none ever refuses.
LIMITS = dict.fromkeys(("global", "tenant", "user", "recipient"), (WIDE, 60))


@contextmanager
def gateway(stack: Stack) -> Iterator[Gateway]:
    """The platform's gateway, in a process of its own."""
    port, path = free_port(), stack.home / "arrivals"
    command = (sys.executable, "-m", "tests.performance.sink", str(port), str(path))
    with process(command, environment=stack.environment, log=stack.log_of("sink")):
        arrivals = Arrivals(path)
        wait_until(path.exists, seconds=30, what="the gateway's stand-in", every=0.02)
        yield Gateway(f"http://127.0.0.1:{port}", arrivals)


@contextmanager
def workers(
    stack: Stack, gateway: Gateway, *, number: int = WORKERS, environment: Mapping[str, str] | None = None
) -> Iterator[dict[str, int]]:
    """Dispatch workers as a stack runs them, that send through this gateway; the stack's beat ticks.

    Their process ids by name.
    """
    home, pids = Home.of(stack.home), {}
    with ExitStack() as started:
        for each in range(1, number + 1):
            name = f"worker-dispatch-{each}"
            command = [
                f"dispatch-{each}@%h" if word == "dispatch@%h" else word
                for word in processes.worker(home, "dispatch", CONCURRENCY).command
            ]
            ready = processes.ready_folder(home) / name
            ready.unlink(missing_ok=True)
            own = {"ONLYFANS_API_URL": gateway.url, "SUPERVISOR_PROCESS_NAME": name, **(environment or {})}
            pids[name] = started.enter_context(
                process(command, environment={**stack.environment, **own}, log=stack.log_of(name))
            )
        for each in range(1, number + 1):
            ready = processes.ready_folder(home) / f"worker-dispatch-{each}"
            wait_until(ready.exists, seconds=60, what=f"{ready.name}", every=0.05)
        yield pids


def rate_of(
    rows: Rows, gateway: Gateway, *, messages: int, start: Callable[[], object], seconds: float = 60
) -> float:
    """Messages/s from the first arrival until all are known to be sent. Raises RoundError.

    What comes before the first one (a tick, the first claim) is the same for any number of messages.
    """
    before = gateway.arrivals.count()
    start()
    try:
        wait_until(
            lambda: gateway.arrivals.count() >= before + messages,
            seconds=seconds,
            what=f"{messages} messages",
            every=0.02,
        )
        wait_until(lambda: not rows.unfinished(), seconds=20, what="outcomes", every=0.01)
    except TooLateError as error:
        number = gateway.arrivals.count() - before
        raise RoundError(f"{error}; {number} of {messages} arrived, states are {rows.states()}") from error
    ended = time.time()
    arrived = gateway.arrivals.since(before)
    states = rows.states()
    if len(arrived) != messages or states != {"sent": messages}:
        raise RoundError(f"{len(arrived)} arrived instead of {messages}, states are {states}")
    return messages / (ended - min(each.at for each in arrived) / SECOND)


def warm_up(rows: Rows, gateway: Gateway) -> None:
    """Have each account send a message, so that connections are made and logs are loaded."""
    rows.clear()
    rate_of(rows, gateway, messages=rows.enqueue(each=1), start=rows.release)


def our_rate(stack: Stack, rows: Rows, gateway: Gateway, *, each: int) -> float:
    """Messages/s of our workers, which have been warmed up, with so many messages of each account."""
    with workers(stack, gateway) as pids:
        warm_up(rows, gateway)
        rows.clear()
        messages = rows.enqueue(each=each)
        with watched(stack, pids, what="ours", messages=messages):
            return rate_of(rows, gateway, messages=messages, start=rows.release)


def processor_time(pids: Mapping[str, int]) -> dict[str, float]:
    """What processes and those they started have used, in seconds."""
    return {name: _of_tree(psutil.Process(pid)) for name, pid in pids.items()}


def _of_tree(root: psutil.Process) -> float:
    own = root.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for each in root.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
    return total


@contextmanager
def watched(stack: Stack, pids: Mapping[str, int], *, what: str, messages: int = 0) -> Iterator[None]:
    """Say what the processes and the stack's services use of a core meanwhile, and for each message."""
    everybody = {**{name: stack.pid_of(name) for name in ("postgres", "redis")}, **pids}
    before, started = processor_time(everybody), time.monotonic()
    yield
    seconds, after = time.monotonic() - started, processor_time(everybody)
    used = {name: after[name] - before[name] for name in everybody}
    shares = ", ".join(f"{name} {each / seconds:.0%}" for name, each in used.items())
    cost = f"; {1_000_000 * sum(used.values()) / messages:,.0f} µs a message" if messages else ""
    say(f"{what}, of a core: {shares}{cost}")
