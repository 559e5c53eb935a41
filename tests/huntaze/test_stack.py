"""The process manager with a few real processes; the whole stack under kill -9 is in test_stack_soak.py."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from huntaze import secrets, stack
from huntaze.places import CLONE, Home, StartError
from tests.http_client import http
from tests.huntaze.homes import environment, eventually, kill, overrides, processes_of, temporary_home

SOME = ("sandbox-ai", "sandbox-gateway", "worker-analytics", "beat", "flower")


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def log() -> list[str]:
    return []


@pytest.fixture(scope="module")
def running(log: list[str]) -> Iterator[stack.Stack]:
    with temporary_home() as home:
        with stack.running(env_overrides=overrides(home), only=SOME, log=log.append) as started:
            yield started
        assert processes_of(home) == {}
        assert not Home.of(home).sockets.exists()
        assert not Home.of(home).postgres_sockets.exists()


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_home() as path:
        yield path


def up(home: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "huntaze.stack", "up"],
        cwd=CLONE,
        env={**environment(home), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_killed_process_is_started_again_and_works(running: stack.Stack) -> None:
    for name in ("worker-analytics", "sandbox-gateway"):
        killed = running.pid_of(name)
        kill(killed)

        running.wait_ready(name, unlike=killed, seconds=30)

        assert running.pid_of(name) != killed


def test_killed_services_come_back_with_their_data(running: stack.Stack) -> None:
    with psycopg.connect(running.urls.owner, autocommit=True) as connection:
        connection.execute("CREATE TABLE notes AS SELECT 'kept' AS body")
    killed = {name: running.pid_of(name) for name in ("postgres", "redis")}
    for name, pid in killed.items():
        kill(pid)
        running.wait_ready(name, unlike=pid, seconds=30)

    with psycopg.connect(running.urls.owner) as connection:
        assert connection.execute("SELECT body FROM notes").fetchone() == ("kept",)


def test_a_stopped_process_stays_stopped_until_it_is_started(running: stack.Stack) -> None:
    running.stop("sandbox-ai")
    assert running.pid_of("sandbox-ai") == 0

    running.start("sandbox-ai")
    assert http.get(f"{running.ai_url}/").status_code > 0


def test_flower_lets_in_who_has_its_password(running: stack.Stack) -> None:
    password = secrets.load(running.home).flower_password

    assert http.get(f"{running.flower_url}/").status_code == 401
    assert http.get(f"{running.flower_url}/", auth=("admin", "wrong")).status_code == 401
    assert http.get(f"{running.flower_url}/", auth=("admin", password)).status_code == 200


def test_no_secret_is_on_a_command_line(running: stack.Stack) -> None:
    kept = secrets.load(running.home)
    commands = "\n".join(processes_of(running.home).values())

    assert "flower" in commands
    for secret in (kept.flower_password, kept.admin_password, kept.secret_key, kept.encryption_key):
        assert secret not in commands


def test_the_log_names_the_process_of_each_line(running: stack.Stack, log: list[str]) -> None:
    assert eventually(lambda: "│ sandbox ai at http" in "".join(log))

    names = {line.split("│")[0].strip() for line in "".join(log).splitlines()}
    assert names == {"postgres", "redis", *SOME}


def test_a_second_stack_on_the_folder_is_refused(running: stack.Stack) -> None:
    done = up(running.home)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (f"huntaze: stack is already running for {running.home} (pid {os.getpid()})\n")


def test_a_port_that_is_taken_is_said_in_one_line(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = up(home, PORT=str(port))

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"huntaze: port {port} is taken by another process: set PORT to a free one\n"
    assert processes_of(home) == {}


def test_a_database_without_its_owner_is_said_in_one_line(home: Path) -> None:
    done = up(home, DATABASE_URL="postgresql://huntaze_app@db.example/huntaze")

    assert done.returncode == 1
    assert done.stderr.startswith("huntaze: DATABASE_URL is set, so DATABASE_OWNER_URL is needed too: ")
    assert done.stderr.count("\n") == 1


def test_a_process_that_cannot_start_says_why_and_everything_is_stopped(home: Path) -> None:
    (home / "sandbox-ai").parent.mkdir()
    (home / "sandbox-ai").touch()  # where its folder should be

    with (
        pytest.raises(StartError, match=r"^sandbox-ai ended: "),
        stack.running(env_overrides=overrides(home), only=["sandbox-ai"]),
    ):
        pass
    assert processes_of(home) == {}


def test_services_from_outside_replace_the_embedded_ones(running: stack.Stack, home: Path) -> None:
    given = {name: running.environment[name] for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")}
    given |= {"OPENAI_API_KEY": "key", "ONLYFANS_API_URL": f"{running.gateway_url}/gateway"}

    with stack.running(env_overrides=overrides(home, **given), only=["worker-costs"]) as second:
        assert second.pid_of("worker-costs")
        assert not {"postgres", "redis", "sandbox-ai", "sandbox-gateway"} & set(second.names)
        assert (second.ai_url, second.gateway_url) == ("", "")
        assert not (home / "postgres").exists()
