"""The rules, each from below its limit to above it, and told once."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.ai.models import BreakerChange, BreakerState, Generation, GenerationState, PromptTemplate, Source
from apps.common.ids import uuid7
from apps.messaging.models import PlatformState
from apps.messaging.services.accounts import pause_account, pause_unauthorised
from apps.notifications import rules as registry
from apps.notifications.models import Alert, Channel
from apps.notifications.rules import Finding, register_rule
from apps.notifications.services import rules
from apps.operations.services import dead_letters
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.notifications.alerting import alerts, deliveries, send, target
from tests.notifications.receivers import MailServer

pytestmark = pytest.mark.django_db(transaction=True)


def generations(tenant: Tenant, number: int, *, now: datetime, **fields: Any) -> None:
    values = {"state": GenerationState.SUCCEEDED, "source": Source.PROVIDER, "attempts": 1, **fields}
    with system_transaction():
        prompt, _ = PromptTemplate.objects.get_or_create(key="k", version=1, task_kind="idea", body="?")
        Generation.objects.bulk_create(
            Generation(
                tenant_id=tenant.pk,
                task_kind="idea",
                prompt=prompt,
                max_tokens=10,
                finished_at=now,
                **values,
            )
            for _ in range(number)
        )


def error_rate(now: datetime) -> list[Alert]:
    rules.evaluate_rules(now=now)
    return alerts("ai_error_rate")


def test_more_than_five_percent_of_failed_attempts_are_told_of(agency: Tenant, stranger: Tenant) -> None:
    now = timezone.now()
    generations(agency, 94, now=now)
    generations(agency, 1, now=now, state=GenerationState.FAILED, attempts=4, source="")
    generations(agency, 1, now=now, attempts=2)
    generations(agency, 50, now=now, attempts=0, source=Source.CACHE)
    generations(stranger, 19, now=now, state=GenerationState.FAILED, source="")
    assert error_rate(now) == [], "5 of 100 are not more than 5 %, and 19 are too few"
    generations(agency, 1, now=now, attempts=2)
    (alert,) = error_rate(now)
    assert alert.message.endswith("failed in the last five minutes: 6 of 102.")
    assert (alert.tenant_id, alert.level) == (agency.pk, "warning")
    generations(stranger, 1, now=now, state=GenerationState.FAILED, source="")
    assert error_rate(now)[1].level == "critical"
    assert len(error_rate(now)) == 2


def test_failures_of_more_than_five_minutes_ago_are_forgotten(agency: Tenant) -> None:
    now = timezone.now()
    generations(agency, 30, now=now - timedelta(minutes=5), state=GenerationState.FAILED, source="")
    assert error_rate(now) == []


def change(deployment: Any, before: BreakerState, after: BreakerState, **fields: Any) -> None:
    with system_transaction():
        BreakerChange.objects.create(
            deployment=deployment, before=before, after=after, reason="5 failures in a row", **fields
        )


def test_an_open_breaker_is_the_platforms_matter_and_told_once_until_it_has_closed(agency: Tenant) -> None:
    deployment = factories.deployment()
    now = timezone.now()
    change(deployment, BreakerState.CLOSED, BreakerState.OPEN)
    for _ in range(2):
        rules.evaluate_rules(now=now)
        change(deployment, BreakerState.OPEN, BreakerState.HALF_OPEN)
        change(deployment, BreakerState.HALF_OPEN, BreakerState.OPEN)
    (alert,) = alerts("breaker_open")
    assert (alert.tenant_id, alert.subject, alert.level) == (None, str(deployment.pk), "critical")
    with tenant_transaction(agency):
        assert not Alert.objects.exists()
    change(deployment, BreakerState.HALF_OPEN, BreakerState.CLOSED)
    rules.evaluate_rules(now=now)
    assert len(alerts("breaker_open")) == 1
    change(deployment, BreakerState.CLOSED, BreakerState.OPEN, created_at=now + timedelta(hours=1))
    rules.evaluate_rules(now=now)
    assert len(alerts("breaker_open")) == 2


def test_a_breaker_that_an_operator_holds_open_is_no_news(agency: Tenant) -> None:
    change(factories.deployment(), BreakerState.CLOSED, BreakerState.OPEN, by=uuid7())
    rules.evaluate_rules(now=timezone.now())
    assert alerts("breaker_open") == []


def test_a_platform_that_does_not_answer_is_told_of(agency: Tenant) -> None:
    now = timezone.now()
    with system_transaction():
        PlatformState.objects.create(platform="tiktok", breaker="open", failures=20, open_until=now)
    for _ in range(2):
        rules.evaluate_rules(now=now)
    (alert,) = alerts("platform_breaker_open")
    assert alert.message == "Nothing is sent to TikTok for the moment: 20 failures in a row."


def test_a_paused_account_is_told_of_once_and_a_refused_credential_by_its_own_alert(agency: Tenant) -> None:
    now = timezone.now()
    one, other = (factories.account(tenant=agency, name=name) for name in ("Luna", "Sol"))
    with tenant_transaction(agency):
        pause_account(account=one, reason="holiday", now=now)
    with system_transaction():
        pause_unauthorised(account_id=other.pk, now=now)
    for _ in range(2):
        rules.evaluate_rules(now=now)
    (alert,) = alerts("account_paused")
    assert alert.message == "Luna is paused and sends nothing: holiday"
    assert [each.subject for each in alerts("account_unauthorised")] == [str(other.pk)]


def test_tasks_that_failed_for_good_are_told_of_once_a_day_and_task() -> None:
    for number in range(3):
        dead_letters.record(
            task="tasks.ai.run_generation",
            task_id=str(number),
            queue="ai",
            args=[],
            kwargs={},
            error="x",
            traceback="",
            attempts=6,
        )
        rules.evaluate_rules(now=timezone.now())
    (alert,) = alerts("dead_letter")
    assert (alert.tenant_id, alert.subject) == (None, "tasks.ai.run_generation")


def test_a_rule_that_fails_keeps_no_other_from_being_evaluated(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered: dict[str, registry.Evaluate] = {}
    monkeypatch.setattr(registry, "rules", registered)
    monkeypatch.setattr(rules, "rules", registered)
    register_rule("broken", lambda now: 1 / 0)  # type: ignore[arg-type, return-value]
    register_rule("sound", lambda now: [Finding(tenant_id=agency.pk, message="Hello.")])
    with pytest.raises(ExceptionGroup, match="1 of 2 rules failed"):
        rules.evaluate_rules(now=timezone.now())
    assert len(alerts("sound")) == 1


def test_platform_alerts_go_to_the_platforms_targets_and_else_to_the_environments(
    agency: Tenant, mail: MailServer, settings: Any
) -> None:
    settings.COST_ALERT_EMAIL = ["ops@huntaze.example", "boss@huntaze.example"]
    register_alert = {"task": "t", "queue": "q", "args": [], "kwargs": {}, "traceback": "", "attempts": 1}
    dead_letters.record(task_id="1", error="x", **register_alert)  # type: ignore[arg-type]
    rules.evaluate_rules(now=timezone.now())
    send()
    assert sorted(message["To"] for message in mail.mails) == ["boss@huntaze.example", "ops@huntaze.example"]
    target(None, Channel.EMAIL, "sre@huntaze.example")
    target(agency, Channel.EMAIL, "ada@agency.example")
    dead_letters.record(task_id="2", error="x", **{**register_alert, "task": "other"})  # type: ignore[arg-type]
    rules.evaluate_rules(now=timezone.now())
    send()
    assert [message["To"] for message in mail.mails[2:]] == ["sre@huntaze.example"]
    assert {each.tenant_id for each in deliveries()} == {None}
