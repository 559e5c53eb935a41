"""State folders for tests of the services themselves, apart from those that the test run lives on."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from huntaze import embedded
from huntaze.places import CLONE
from tests.unmeasured import unmeasured

OUTSIDE = (
    *("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "CACHE_REDIS_URL", "CELERY_BROKER_URL"),
    *("OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"),
    *("ONLYFANS_API_URL", "PORT", "FLOWER_PORT", "SANDBOX_AI_PORT", "SANDBOX_GATEWAY_PORT"),
)


@contextmanager
def temporary_home(*, below: str = "var") -> Iterator[Path]:
    """A state folder that every user can reach, removed afterwards with all that belongs to it.

    pytest's tmp_path is private to its user, and PostgreSQL runs as another one when the tests are root's.
    """
    with tempfile.TemporaryDirectory(prefix="huntaze-test-") as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / below
        try:
            yield home
        finally:
            embedded.remove(home)


def environment(home: Path) -> dict[str, str]:
    """Ours, without the services that the test run uses, for a process of `home`."""
    kept = {name: value for name, value in os.environ.items() if name not in OUTSIDE}
    return {**kept, "HUNTAZE_HOME": str(home)}


def overrides(home: Path, **others: str) -> Mapping[str, str | None]:
    """The same, for stack.running(), whose processes measure nothing."""
    measuring = os.environ.keys() - unmeasured().keys()
    return {**dict.fromkeys((*OUTSIDE, *measuring)), "HUNTAZE_HOME": str(home), **others}


def processes_of(home: Path) -> dict[int, str]:
    """Every live process that works in the state folder, or names it in its command or environment.

    The servers overwrite both to show a title, but stay in their data folders.
    """
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            text = (
                command
                + b"\0"
                + (folder / "environ").read_bytes()
                + b"\0"
                + os.readlink(folder / "cwd").encode()
            )
        except OSError:  # it has ended, or it is another user's
            continue
        if str(home).encode() in text and int(folder.name) != os.getpid():
            found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


@contextmanager
def process(*command: str, home: Path, **variables: str) -> Iterator["subprocess.Popen[str]"]:
    """A command of ours on this state folder, its output in one pipe; killed at the end if it still runs."""
    started = subprocess.Popen(
        command,
        cwd=CLONE,
        env={**environment(home), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with started:
        try:
            yield started
        finally:
            started.kill()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def eventually(condition: Callable[[], bool], *, seconds: float = 15) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
