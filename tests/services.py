"""A pytest plugin: real PostgreSQL and Redis of this run's own, started before Django reads its settings.

Loaded by `-p tests.services` (pyproject.toml), which comes before pytest-django. TEST_DATABASE_URL (a
superuser of an outside PostgreSQL) replaces the embedded one.
"""

import os
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from huntaze import embedded

ROOT = Path(__file__).resolve().parent.parent
_services = ExitStack()


HOME = ROOT / "var" / "test" / str(os.getpid())


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Start the services and point the environment, and so the settings, at them."""
    os.environ["HUNTAZE_HOME"] = str(HOME)
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "CELERY_BROKER_URL"):
        os.environ.pop(name, None)
    _services.callback(embedded.remove, HOME)
    urls = _services.enter_context(embedded.running(HOME))
    superuser = os.environ.get("TEST_DATABASE_URL") or urls.superuser
    database = create_database(superuser, name=f"test_huntaze_{os.getpid()}")
    os.environ.update(
        DATABASE_URL=as_role(database, "huntaze_app"),
        DATABASE_OWNER_URL=as_role(database, "huntaze_owner"),
        TEST_SUPERUSER_URL=database,
        REDIS_URL=urls.redis,
        CELERY_BROKER_URL=urls.broker,
    )
    _services.callback(drop_database, superuser, database)
    (HOME / "static").mkdir(exist_ok=True)  # or WhiteNoise warns that it is missing


def pytest_unconfigure(config: pytest.Config) -> None:
    _services.close()


def as_role(url: str, role: str) -> str:
    return make_conninfo(url, user=role)


def create_database(superuser: str, *, name: str) -> str:
    """An empty database of the owner's, with the three roles; its URL as the superuser."""
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute((ROOT / "deploy" / "roles.sql").read_text())
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER huntaze_owner").format(sql.Identifier(name)))
        # It lives as long as its server: a commit need not wait for the disk.
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name))
        )
    url = make_conninfo(superuser, dbname=name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        connection.execute("GRANT ALL ON SCHEMA public TO huntaze_owner")
    return url


def drop_database(superuser: str, url: str) -> None:
    name = sql.Identifier(str(conninfo_to_dict(url)["dbname"]))
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
