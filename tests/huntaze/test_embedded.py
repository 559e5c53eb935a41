import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from huntaze import embedded
from huntaze.places import CLONE, LOCKS, Home, StartError, private_folder
from tests.huntaze.homes import environment, eventually, kill, process, processes_of, temporary_home


@pytest.fixture
def home() -> Iterator[Path]:
    with temporary_home() as path:
        yield path


def run(home: Path, *command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "huntaze.embedded", "run", "--", *command],
        cwd=CLONE,
        env={**environment(home), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_naming_the_services_creates_nothing(home: Path) -> None:
    found = embedded.urls(home)

    assert found == embedded.urls(home)
    assert not home.exists()
    assert not Home.of(home).sockets.exists()


def test_a_clone_at_an_old_place_gets_other_sockets(home: Path) -> None:
    Home.of(home).prepare()
    before = embedded.urls(home)
    embedded.remove(home)
    Home.of(home).prepare()

    assert embedded.urls(home).database != before.database


def test_the_roles_hold_no_more_than_the_design_gives_them(home: Path) -> None:
    with embedded.running(home) as urls, psycopg.connect(urls.database) as connection:
        roles = connection.execute(
            "SELECT rolname, rolsuper, rolbypassrls, rolinherit, rolcanlogin, rolcreatedb FROM pg_roles"
            " WHERE rolname LIKE 'huntaze_%' ORDER BY rolname"
        ).fetchall()
        assert roles == [
            ("huntaze_app", False, False, False, True, False),
            ("huntaze_owner", False, False, True, True, True),
            ("huntaze_system", False, False, False, False, False),
        ]
        assert connection.execute(
            "SELECT pg_has_role('huntaze_system', 'USAGE'), pg_has_role('huntaze_system', 'SET')"
        ).fetchone() == (False, True)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE notes (body text)")


def test_a_new_database_of_the_owner_knows_vectors(home: Path) -> None:
    with embedded.running(home) as urls:
        with psycopg.connect(urls.owner, autocommit=True) as connection:
            connection.execute("CREATE DATABASE trial")
        with psycopg.connect(urls.owner, dbname="trial") as connection:
            assert connection.execute("SELECT '[1,2]'::vector <-> '[1,3]'").fetchone() == (1,)


def test_nothing_listens_on_the_network(home: Path) -> None:
    with embedded.running(home) as urls:
        with psycopg.connect(urls.superuser) as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        with redis.Redis.from_url(urls.redis) as client:
            assert client.config_get("port") == {"port": "0"}


def test_what_was_acknowledged_survives_killed_servers(home: Path) -> None:
    with embedded.running(home) as urls, redis.Redis.from_url(urls.redis) as client:
        with psycopg.connect(urls.owner, autocommit=True) as connection:
            connection.execute("CREATE TABLE notes AS SELECT 'kept' AS body")
        client.set("note", "kept")
        for name in ("postgres", "redis"):
            kill(Home.of(home).holder(name))

    with embedded.running(home) as urls, redis.Redis.from_url(urls.redis) as client:
        with psycopg.connect(urls.owner) as connection:
            assert connection.execute("SELECT body FROM notes").fetchone() == ("kept",)
        assert client.get("note") == b"kept"


def test_a_pid_file_that_names_a_process_of_somebody_else_does_not_stop_the_start(home: Path) -> None:
    with embedded.running(home):
        pass
    # A killed server's number, which this test run has got meanwhile.
    (home / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{home / 'postgres'}\n")

    with embedded.running(home) as urls, psycopg.connect(urls.database) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("below", ['two words/it\'s #1; 100%, a "clone"/var', "/".join(["x" * 49] * 4)])
def test_the_state_folder_may_have_any_name(below: str) -> None:
    with temporary_home(below=below) as home, embedded.running(home) as urls:
        with psycopg.connect(urls.database) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with redis.Redis.from_url(urls.redis) as client:
            assert client.ping()


def test_two_state_folders_run_side_by_side(home: Path) -> None:
    with temporary_home() as other, embedded.running(home) as ours, embedded.running(other) as theirs:
        with redis.Redis.from_url(ours.redis) as client:
            client.set("note", "ours")
        with redis.Redis.from_url(theirs.redis) as client:
            assert client.get("note") is None
        with psycopg.connect(ours.owner, autocommit=True) as connection:
            connection.execute("CREATE TABLE notes ()")
        with psycopg.connect(theirs.owner) as connection:
            assert connection.execute("SELECT to_regclass('notes')").fetchone() == (None,)


def test_a_state_folder_has_one_server_at_a_time(home: Path) -> None:
    with embedded.running(home) as urls:
        with (
            pytest.raises(StartError, match=r"postgres is already running for .* \(pid \d+\)"),
            embedded.running(home),
        ):
            pass
        with pytest.raises(StartError, match="already running"):
            embedded.remove(home)

        with redis.Redis.from_url(urls.redis) as client:
            assert client.ping()


def test_the_folders_of_the_sockets_go_with_their_servers(home: Path) -> None:
    place = Home.of(home)
    for _ in range(2):
        with embedded.running(home):
            assert place.sockets.exists()
            assert place.postgres_sockets.exists()
        assert not place.sockets.exists()
        assert not place.postgres_sockets.exists()


@pytest.mark.parametrize("name", LOCKS)
def test_the_folders_of_the_sockets_stay_while_somebody_may_use_them(home: Path, name: str) -> None:
    place = Home.of(home)
    place.prepare()
    with place.lock(name):
        place.remove_sockets()
        assert place.sockets.exists()
        place.remove_sockets(held=[name])
        assert not place.sockets.exists()


def test_a_folder_of_sockets_that_holds_something_stays(home: Path) -> None:
    place = Home.of(home)
    place.prepare()
    (place.sockets / "supervisor.sock").touch()
    place.remove_sockets()
    assert place.sockets.exists()


def test_the_folder_of_another_version_is_left_alone(home: Path) -> None:
    with embedded.running(home):
        pass
    (home / "postgres" / "PG_VERSION").write_text("16\n")

    with (
        pytest.raises(StartError, match="was made by PostgreSQL 16, and this is 18"),
        embedded.running(home),
    ):
        pass


def test_a_folder_for_sockets_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o755)
    elsewhere = tmp_path / "link"
    elsewhere.symlink_to(tmp_path / "private")
    private_folder(tmp_path / "private", owner=os.geteuid())

    for folder in (open_to_all, elsewhere):
        with pytest.raises(StartError, match="mode 0700"):
            private_folder(folder, owner=os.geteuid())
    assert open_to_all.stat().st_mode & 0o777 == 0o755


def test_a_state_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = run(tmp_path / "file" / "var", "true")

    assert done.returncode == 1
    assert done.stderr.startswith(f"huntaze: cannot create {tmp_path}/file/var: ")
    assert done.stderr.count("\n") == 1


def test_a_command_runs_with_both_and_its_status_counts(home: Path) -> None:
    script = (
        "import os, psycopg, redis;"
        "psycopg.connect(os.environ['DATABASE_URL']); redis.Redis.from_url(os.environ['REDIS_URL']).ping();"
        "raise SystemExit(7)"
    )

    done = run(home, sys.executable, "-c", script)

    assert (done.returncode, done.stderr) == (7, "")
    assert processes_of(home) == {}


def test_when_the_runner_is_killed_nothing_is_left(home: Path) -> None:
    command = (sys.executable, "-m", "huntaze.embedded", "run", "--", "sh", "-c", "echo up; exec sleep 600")
    with process(*command, home=home) as runner:
        assert runner.stdout is not None
        assert runner.stdout.readline() == "up\n"
        assert len(processes_of(home)) >= 4

        runner.kill()

        assert eventually(lambda: processes_of(home) == {}), processes_of(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root keeps data outside the state folder")
def test_root_keeps_the_data_where_its_server_can_reach_it(tmp_path: Path) -> None:
    home = tmp_path / "var"
    tmp_path.chmod(0o700)
    try:
        with embedded.running(home) as urls, psycopg.connect(urls.superuser) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
            assert row is not None
            data = Path(str(row[0]))
        assert data.is_relative_to("/var/lib/huntaze")
        assert data.owner() != "root"
        assert tmp_path.stat().st_mode & 0o777 == 0o700
    finally:
        embedded.remove(home)
    assert not data.exists()
