"""The whole stack as a user starts it, and the worst that can happen to its manager."""

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from huntaze import embedded
from huntaze.places import Home
from tests.huntaze.homes import eventually, kill, process, processes_of, temporary_home

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

# What `make up` runs; `make` itself would install into the environment that the tests run in.
UP = (
    sys.executable,
    "-I",
    "-S",
    "huntaze/guard.py",
    "TERM",
    "--",
    sys.executable,
    "-m",
    "huntaze.stack",
    "up",
)


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_home() as path:
        yield path


UP_AND_RUNNING = "Ctrl-C stops everything"


def wait_until_said(words: str, started: "subprocess.Popen[str]") -> str:
    """What was said until then."""
    assert started.stdout is not None
    said = ""
    for line in started.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(said)


def notes(home: Path) -> int:
    """Add a row, and count those that are there."""
    with psycopg.connect(embedded.urls(home).owner, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS notes ()")
        connection.execute("INSERT INTO notes DEFAULT VALUES")
        row = connection.execute("SELECT count(*) FROM notes").fetchone()
        assert row is not None
        return int(row[0])


def victim(home: Path, name: str) -> int:
    if name == "supervisord":
        return int((home / "run" / "supervisord.pid").read_text())
    return Home.of(home).holder(name)


def test_after_kill_9_nothing_is_left_and_the_next_start_has_the_data(home: Path) -> None:
    every_one = ("postgres", "redis", "supervisord", "stack")
    for position, names in enumerate([("stack",), ("supervisord",), every_one]):
        with process(*UP, home=home) as started:
            wait_until_said(UP_AND_RUNNING, started)
            assert notes(home) == position + 1
            assert len(processes_of(home)) > 15

            for pid in [victim(home, name) for name in names]:
                kill(pid)

            assert eventually(lambda: processes_of(home) == {}, seconds=20), (names, processes_of(home))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything_in_order(home: Path, number: signal.Signals) -> None:
    with process(*UP, home=home) as started:
        said = wait_until_said(UP_AND_RUNNING, started)
        for address in ("/admin/", "/api/docs", "/api/health", "/api/metrics", "Flower"):
            assert address in said

        started.send_signal(number)
        rest, _ = started.communicate(timeout=60)

        assert started.returncode == 0
        assert rest.splitlines()[-1] == "huntaze: stopped; the data is kept"
        assert processes_of(home) == {}


def test_a_start_cut_short_leaves_nothing(home: Path) -> None:
    with process(*UP, home=home) as started:
        wait_until_said("preparing the database", started)

        started.send_signal(signal.SIGTERM)
        started.communicate(timeout=60)

        assert processes_of(home) == {}


def test_make_takes_the_stack_with_it_when_it_is_killed(tmp_path: Path) -> None:
    """A killed parent, as make is one: the guard in the Makefile is what notices."""
    with temporary_home() as home:
        makefile = tmp_path / "Makefile"
        makefile.write_text(f"up:\n\t@{shlex.join(UP)}\n")
        with process("make", "-f", str(makefile), "up", home=home) as started:
            wait_until_said("preparing the database", started)

            started.kill()

            assert eventually(lambda: processes_of(home) == {}, seconds=30), processes_of(home)
