"""A request that does no work: what our settings and middleware add to Django's own."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from huntaze import processes
from huntaze.places import Home
from huntaze.stack import Stack
from tests.performance.harness import Benchmark, Sides
from tests.performance.running import free_port, measure, process
from tests.waiting import wait_until

CONNECTIONS = 16
SECONDS = 1.5


@contextmanager
def sides(stack: Stack) -> Iterator[Sides]:
    """Both behind gunicorn with the same flags. The plain one has what `startproject` sets up."""
    port = free_port()
    ours = processes.web(Home.of(stack.home), "127.0.0.1", port)
    command = [
        "tests.performance.peers.plain_django" if word == "huntaze.wsgi" else word for word in ours.command
    ]
    with process(command, environment=stack.environment, log=stack.log_of("plain-django")):
        wait_until(lambda: ours.ready(0), seconds=30, what="the plain project's server")
        yield Sides(ours=_load(stack, stack.base_url), peer=_load(stack, f"http://127.0.0.1:{port}"))


def _load(stack: Stack, base_url: str) -> "partial[float]":
    arguments = (f"{base_url}/api/health", str(CONNECTIONS), str(SECONDS))
    return partial(measure, "http_load", *arguments, environment=stack.environment)


BENCHMARK = Benchmark(
    name="api.health",
    peer_name="a plain Django project with one view",
    unit="requests/s",
    sides=sides,
    processes=("web",),
)
