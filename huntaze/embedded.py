"""PostgreSQL and Redis of this machine, from wheels: no root, nothing installed beforehand, nothing shared.

python -m huntaze.embedded run -- COMMAND…   both, as long as COMMAND runs
python -m huntaze.embedded postgres          one of them, in the foreground
python -m huntaze.embedded redis
python -m huntaze.embedded clean             remove their data and everything else in HUNTAZE_HOME
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from redis.connection import parse_url

from huntaze import embedded_postgres, embedded_redis, embedded_user
from huntaze.places import CLONE, LOCKS, Home, StartError

_START_SECONDS = 60
_STOP_SECONDS = 15


@dataclass(frozen=True)
class ServiceUrls:
    """`database` is the application's role, `owner` the migrations'; `superuser` sets up and tests."""

    database: str
    owner: str
    superuser: str
    redis: str
    broker: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DATABASE_URL": self.database,
            "DATABASE_OWNER_URL": self.owner,
            "REDIS_URL": self.redis,
            "CELERY_BROKER_URL": self.broker,
        }


def urls(home: Path) -> ServiceUrls:
    """Where the services of the state folder `home` answer once they run; starts and creates nothing."""
    place = Home.of(home)
    # The broker stays on database 0: Flower reads queue lengths nowhere else.
    redis = f"unix://{embedded_redis.socket_path(place)}?db=1"
    return ServiceUrls(
        database=embedded_postgres.url(place, role="huntaze_app", database="huntaze"),
        owner=embedded_postgres.url(place, role="huntaze_owner", database="huntaze"),
        superuser=embedded_postgres.url(place, role="postgres", database="postgres"),
        redis=redis,
        broker=broker_url(redis),
    )


def broker_url(redis_url: str) -> str:
    """The Celery broker on a Redis: the same server; for a socket in kombu's spelling, on database 0."""
    if redis_url.startswith("unix://"):
        return f"redis+socket://{redis_url.removeprefix('unix://').split('?', 1)[0]}?virtual_host=0"
    return redis_url


def same_server(redis_url: str, broker_url: str) -> bool:
    """Whether the broker is that Redis, whatever the database and the spelling."""
    redis, broker = urlsplit(redis_url), urlsplit(broker_url.replace("redis+socket://", "unix://", 1))
    if redis.scheme == broker.scheme == "unix":
        return redis.path == broker.path
    tcp = {"redis", "rediss"}
    return {redis.scheme, broker.scheme} <= tcp and (redis.hostname, redis.port or 6379) == (
        broker.hostname,
        broker.port or 6379,
    )


def same_database(one: str, other: str) -> bool:
    """Whether both URLs name the same database of the same Redis."""
    if one == other:
        return True
    options = [parse_url(each) for each in (one, other)]  # type: ignore[no-untyped-call]  # redis leaves it out
    return same_server(one, other) and options[0].get("db", 0) == options[1].get("db", 0)


@contextlib.contextmanager
def running(home: Path) -> Iterator[ServiceUrls]:
    """Start both for the state folder `home`, wait until they answer, and stop them at the end.

    They also end when this process is killed. Raises StartError.
    """
    place = Home.of(home)
    place.prepare()
    found = urls(place.path)
    with contextlib.ExitStack() as stack:
        stack.callback(place.remove_sockets)
        postgres = stack.enter_context(_service(place, "postgres", stop=signal.SIGINT))
        redis = stack.enter_context(_service(place, "redis", stop=signal.SIGTERM))
        _wait_for(postgres, place, "postgres", lambda: embedded_postgres.answers(found.superuser))
        embedded_postgres.provision(found.superuser)
        _wait_for(redis, place, "redis", lambda: embedded_redis.answers(found.redis))
        yield found


@contextlib.contextmanager
def _service(place: Home, name: str, *, stop: signal.Signals) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "huntaze.embedded", name, "--parent", str(os.getpid())]
    with (place.log / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=CLONE,
            env={**os.environ, "HUNTAZE_HOME": str(place.path)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C at the terminal is ours to handle: what uses the services has to end before they do.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process, stop, seconds=_STOP_SECONDS)


def end(process: "subprocess.Popen[bytes]", number: signal.Signals, *, seconds: float) -> None:
    """Send a signal and wait; kill what is still there after `seconds`."""
    process.send_signal(number)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for(
    process: "subprocess.Popen[bytes]", place: Home, name: str, answers: Callable[[], bool]
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    # An answer alone could come from a server that was there before.
    while place.holder(name) != process.pid or not answers():
        if process.poll() is not None:
            raise StartError(last_words(place, name))
        if time.monotonic() > deadline:
            raise StartError(f"{name} didn't answer within {_START_SECONDS} s: see {place.log / name}.log")
        time.sleep(0.05)


def last_words(place: Home, name: str) -> str:
    """What a process that ended at once wrote last: our own one-line error, or the server's last line."""
    lines = (place.log / f"{name}.log").read_text(errors="replace").strip().splitlines() or [
        "it wrote nothing"
    ]
    return lines[-1].removeprefix("huntaze: ") if "huntaze: " in lines[-1] else f"{name} ended: {lines[-1]}"


def _run(command: list[str]) -> int:
    """Run a command beside both services; its exit status. Ctrl-C and TERM end it first, then them."""
    home = Home.from_environment()
    signal.signal(signal.SIGTERM, _interrupt)
    guard = [
        sys.executable,
        "-I",
        "-S",
        str(CLONE / "huntaze" / "guard.py"),
        "TERM",
        "--parent",
        str(os.getpid()),
    ]
    with running(home.path) as found:
        environment = {**os.environ, **found.environment, "HUNTAZE_HOME": str(home.path)}
        process = subprocess.Popen([*guard, "--", *command], env=environment)
        try:
            status = process.wait()
        except KeyboardInterrupt:
            end(process, signal.SIGTERM, seconds=_STOP_SECONDS)
            return 130
    return status if status >= 0 else 128 - status


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def remove(path: Path) -> None:
    """Remove a state folder, those kept inside it (the tests') and what belongs to them elsewhere.

    Raises StartError while anything runs.
    """
    home = Home.of(path)
    found = (file for depth in ("*", "*/*") for file in home.path.glob(f"{depth}/instance-id"))
    homes = [home, *(Home(file.parent) for file in found)]
    with contextlib.ExitStack() as locks:
        for one in homes:
            for name in LOCKS if one.run.exists() else ():
                locks.enter_context(one.lock(name))
        for one in homes:
            embedded_user.erase(one)
            shutil.rmtree(one.sockets, ignore_errors=True)
            shutil.rmtree(one.postgres_sockets, ignore_errors=True)
        if home.path.exists():
            shutil.rmtree(home.path)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m huntaze.embedded", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("postgres", "redis"):
        one = commands.add_parser(name)
        one.add_argument("--parent", type=int, help="end when this parent process does")
    commands.add_parser("run").add_argument("argv", nargs="+", metavar="COMMAND")
    commands.add_parser("clean")
    arguments = parser.parse_args()
    home = Home.from_environment()
    try:
        if arguments.command == "postgres":
            embedded_postgres.serve(home, parent=arguments.parent)
        elif arguments.command == "redis":
            embedded_redis.serve(home, parent=arguments.parent)
        elif arguments.command == "clean":
            remove(home.path)
        else:
            sys.exit(_run(arguments.argv))
    except StartError as error:
        sys.exit(f"huntaze: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
