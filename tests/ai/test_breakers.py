"""The deployments' breakers as a service: their history, and what an operator may do."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError

from apps.ai.models import BreakerChange, Deployment
from apps.ai.services import breakers as service
from apps.ai.services.breakers import (
    SharedStateAwayError,
    breaker_statuses,
    breakers,
    force_breaker,
    note_changes,
)
from apps.common.breaker.rules import Change, Report, Result, State
from apps.common.errors import ConflictError
from apps.common.ids import uuid7
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories

pytestmark = pytest.mark.django_db

BY = uuid7()
AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def deployment(db: None) -> Deployment:
    return factories.deployment()


def fail(deployment: Deployment, times: int = 5) -> list[Change]:
    """Calls of it, as the orchestrator makes them; what they changed."""
    changes = []
    for _ in range(times):
        admission = breaker_statuses([deployment.pk])[deployment.pk].admission()
        assert admission is not None
        changes += breakers().record(admission, Report(Result.FAILURE))
    return changes


def history() -> list[tuple[str, str, str, object]]:
    with system_transaction():
        return [(row.before, row.after, row.reason, row.by) for row in BreakerChange.objects.order_by("pk")]


def state(deployment: Deployment) -> State:
    return breaker_statuses([deployment.pk])[deployment.pk].state


def test_a_change_is_logged_and_leaves_a_row_with_its_time(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    (change,) = fail(deployment)
    note_changes([change])
    assert history() == [("closed", "open", "5 failures in a row", None)]
    with system_transaction():
        assert BreakerChange.objects.get().created_at == change.at
    assert caplog.text.count("breaker.changed") == 1
    assert str(deployment.pk) in caplog.text


def test_without_changes_nothing_is_asked_of_the_database(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        note_changes([])


def test_a_change_within_a_tenants_work_is_noted_and_hidden_from_the_tenant(
    deployment: Deployment, agency: Tenant
) -> None:
    with tenant_transaction(agency):
        note_changes(fail(deployment))
        assert not BreakerChange.objects.exists()
    assert len(history()) == 1


def test_a_tenant_can_not_write_the_history(deployment: Deployment, agency: Tenant) -> None:
    with pytest.raises(DatabaseError, match="row-level security"), tenant_transaction(agency):
        BreakerChange.objects.create(deployment=deployment, before="open", after="closed", reason="?")


def test_the_change_of_a_deployment_that_is_gone_is_only_logged(deployment: Deployment) -> None:
    gone = Change(str(uuid7()), State.CLOSED, State.OPEN, "5 failures in a row", AT)
    note_changes([gone, Change(str(deployment.pk), State.OPEN, State.HALF_OPEN, "due", AT)])
    assert [row[:2] for row in history()] == [("open", "half_open")]


def test_a_deployments_history_goes_with_it(deployment: Deployment) -> None:
    note_changes(fail(deployment))
    with system_transaction():
        deployment.delete()
    assert history() == []


def test_a_database_that_is_away_fails_no_call(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away() -> None:
        raise OperationalError("the connection is closed")

    monkeypatch.setattr(service, "system_transaction", away)
    note_changes(fail(deployment))
    assert "breaker.changes_not_kept" in caplog.text


def test_an_operator_holds_a_breaker_open_closed_and_gives_it_back(deployment: Deployment) -> None:
    force_breaker(deployment=deployment, state=State.OPEN, by=BY, reason="Maintenance.")
    assert state(deployment) is State.OPEN
    force_breaker(deployment=deployment, state=State.CLOSED, by=BY, reason="")
    fail(deployment, times=10)
    assert state(deployment) is State.CLOSED
    force_breaker(deployment=deployment, state=None, by=BY, reason="")
    fail(deployment)
    assert state(deployment) is State.OPEN
    assert history() == [
        ("closed", "open", "opened by hand: Maintenance.", BY),
        ("open", "closed", "closed by hand", BY),
        ("closed", "closed", "back to automatic", BY),
    ]


def test_what_had_happened_before_is_not_the_operators_doing(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Change(str(deployment.pk), State.HALF_OPEN, State.OPEN, "the probe's lease ended", AT)
    closed = Change(str(deployment.pk), State.OPEN, State.CLOSED, "closed by hand", AT)
    monkeypatch.setattr(type(breakers()), "force", lambda *args: [lost, closed])
    force_breaker(deployment=deployment, state=State.CLOSED, by=BY, reason="It works.")
    assert [row[2:] for row in history()] == [
        ("the probe's lease ended", None),
        ("closed by hand: It works.", BY),
    ]


@pytest.mark.parametrize(
    ("wish", "said"), [(State.OPEN, "held open by hand"), (State.CLOSED, "held closed"), (None, "automatic")]
)
def test_what_is_so_already_is_refused(deployment: Deployment, wish: State | None, said: str) -> None:
    if wish:
        force_breaker(deployment=deployment, state=wish, by=BY, reason="")
    with pytest.raises(ConflictError, match=said):
        force_breaker(deployment=deployment, state=wish, by=BY, reason="")


def test_while_redis_is_away_nothing_is_held_and_the_states_are_this_process_s(
    deployment: Deployment, settings: Any
) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    with pytest.raises(SharedStateAwayError, match="other processes would not know"):
        force_breaker(deployment=deployment, state=State.OPEN, by=BY, reason="")
    assert history() == []
    fail(deployment)
    assert state(deployment) is State.OPEN


def test_recovery_and_window_are_settings(deployment: Deployment, settings: Any) -> None:
    settings.BREAKER_RECOVERY = timedelta(seconds=7)
    settings.BREAKER_WINDOW = timedelta(seconds=3)
    fail(deployment)
    waits = breaker_statuses([deployment.pk])[deployment.pk].waits
    assert waits is not None
    assert timedelta(seconds=6) < waits <= timedelta(seconds=7)
    assert breakers() is breakers()
