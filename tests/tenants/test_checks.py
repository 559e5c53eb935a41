"""The application starts with no role that row-level security doesn't hold for."""

import os
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from django.core.checks import run_checks
from django.db import connections
from psycopg import sql

from apps.operations.health import check_health
from apps.tenants.roles import refuse_powerful_role
from huntaze import embedded
from tests.services import HOME, ROOT, as_role

pytestmark = pytest.mark.django_db
ROLE = "test_powerful"


def database() -> str:
    """This run's database, as the superuser."""
    superuser = os.environ.get("TEST_DATABASE_URL") or embedded.urls(HOME).superuser
    name = connections["default"].settings_dict["NAME"]
    return psycopg.conninfo.make_conninfo(superuser, dbname=name)


@pytest.fixture
def role() -> Iterator[str]:
    with psycopg.connect(database(), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(ROLE)))
        yield ROLE
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(ROLE)))


def alter(statement: str) -> None:
    with psycopg.connect(database(), autocommit=True) as connection:
        connection.execute(statement.encode())


def refusal(role: str) -> str:
    with psycopg.connect(as_role(database(), role)) as connection:
        return refuse_powerful_role(connection.execute)


def test_the_applications_own_role_is_accepted() -> None:
    assert run_checks(databases=["default"], tags=["database"]) == []


def test_an_ordinary_role_is_accepted(role: str) -> None:
    assert refusal(role) == ""


@pytest.mark.parametrize(
    ("grant", "words"),
    [
        ("ALTER ROLE {role} SUPERUSER", "is a superuser"),
        ("ALTER ROLE {role} BYPASSRLS", "bypasses row-level security"),
        ("GRANT huntaze_owner TO {role}", "owns tables"),
        ("ALTER ROLE {role} NOINHERIT; GRANT huntaze_owner TO {role}", "owns tables"),
    ],
)
def test_a_role_with_power_over_the_policies_is_refused(grant: str, words: str, role: str) -> None:
    alter(grant.format(role=role))
    assert words in refusal(role)


def test_a_role_that_may_become_one_with_power_is_refused(role: str) -> None:
    alter(f"CREATE ROLE {role}_master BYPASSRLS; GRANT {role}_master TO {role}")
    try:
        assert "bypasses row-level security" in refusal(role)
    finally:
        alter(f"DROP ROLE {role}_master")


@pytest.mark.parametrize("command", [["check", "--database", "default"], ["prepare"]])
def test_the_owner_is_refused_at_start_up(command: list[str]) -> None:
    environment = {**os.environ, "DATABASE_URL": os.environ["DATABASE_OWNER_URL"]}
    done = subprocess.run(
        [sys.executable, "manage.py", *command], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "role huntaze_owner owns tables" in done.stderr


def test_the_owner_is_refused_by_health(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "USER", "huntaze_owner")
    assert "owns tables" in check_health().down["database"]
