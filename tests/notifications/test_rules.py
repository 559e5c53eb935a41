"""The rules, each from below its limit to above it, and told once."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.ai.models import BreakerChange, BreakerState, Generation, GenerationState, PromptTemplate, Source
from apps.common.ids import uuid7
from apps.costs.models import Budget, BudgetPeriod, Hold
from apps.costs.services import budgets, holds, thresholds
from apps.costs.services.budgets import create_budget
from apps.messaging.models import PlatformState
from apps.messaging.services.accounts import pause_account, pause_unauthorised
from apps.notifications import rules as registry
from apps.notifications.models import Alert, Channel, Level
from apps.notifications.rules import Finding, register_rule
from apps.notifications.services import rules
from apps.operations.services import dead_letters
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.costs.spending import dollar_price, dollars, take
from tests.costs.threads import at_once
from tests.notifications.alerting import deliveries, send, target
from tests.notifications.receivers import MailServer, Receiver

pytestmark = pytest.mark.django_db(transaction=True)

NOON = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)


def alerts(rule: str, **lookups: Any) -> list[Alert]:
    with system_transaction():
        return list(Alert.objects.filter(rule=rule, **lookups).order_by("id"))


def spend(tenant: Tenant, amount: int, *, now: datetime | None = None, **purpose: Any) -> Hold:
    hold = take(tenant, amount, now=now, **purpose)
    holds.settle(hold=hold, usage=dollars(amount), now=now or timezone.now())
    return hold


@pytest.fixture
def budget(agency: Tenant) -> Budget:
    dollar_price()
    return create_budget(tenant_id=agency.pk, limit=Decimal(100), now=timezone.now())


def told(now: datetime | None = None) -> list[tuple[str, str]]:
    rules.evaluate_rules(now=now or timezone.now())
    found = alerts("budget_threshold")
    return [(each.period.partition(" ")[2].partition(" ")[0], each.level) for each in found]


def test_each_threshold_is_told_once_as_it_is_reached(agency: Tenant, budget: Budget) -> None:
    spend(agency, 49)
    assert told() == []
    spend(agency, 1)
    assert told() == [("50%", "warning")]
    spend(agency, 29)
    assert told() == [("50%", "warning")]
    spend(agency, 1)
    assert told()[1:] == [("80%", "warning")]
    spend(agency, 20)
    assert told()[2:] == [("100%", "critical")]
    assert len(told()) == 3
    (alert,) = alerts("budget_threshold", level=Level.CRITICAL)
    assert alert.subject == str(budget.pk)
    assert alert.message.startswith("100 % of the budget of 100.00 USD a month are spent: 100.00 USD since ")
    assert alert.data["spent"] == "100.00"


def test_of_thresholds_passed_at_once_the_highest_alone_is_sent(
    agency: Tenant, budget: Budget, mail: MailServer, settings: Any
) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example")
    settings.DAILY_COST_ALERT = Decimal(1000)
    spend(agency, 85)
    assert sorted(told()) == [("50%", "warning"), ("80%", "warning")]
    send()
    assert [message["Subject"].split(":")[1].split("of")[0].strip() for message in mail.mails] == ["80 %"]


def test_any_percentages_will_do(agency: Tenant, budget: Budget) -> None:
    budgets.change_budget(budget=budget, thresholds=[1, 33, 250], now=timezone.now())
    spend(agency, 33)
    assert {percent for percent, _ in told()} == {"1%", "33%"}


def test_what_is_only_held_reaches_no_threshold(agency: Tenant, budget: Budget) -> None:
    take(agency, 90)
    assert told() == []


def test_a_changed_limit_has_thresholds_of_its_own(agency: Tenant, budget: Budget) -> None:
    spend(agency, 50)
    assert len(told()) == 1
    budgets.change_budget(budget=budget, limit=Decimal(62), now=timezone.now())
    assert len(told()) == 3
    assert {alert.period.partition(" ")[2] for alert in alerts("budget_threshold")} == {
        *("50% of 100.00", "50% of 62.00", "80% of 62.00")
    }


def test_a_limit_that_is_lowered_below_the_spend_is_told_of(agency: Tenant, budget: Budget) -> None:
    spend(agency, 50)
    rules.evaluate_rules(now=timezone.now())
    assert alerts("budget_exceeded") == []
    budgets.change_budget(budget=budget, limit=Decimal(40), now=timezone.now())
    for _ in range(2):
        rules.evaluate_rules(now=timezone.now())
    (alert,) = alerts("budget_exceeded")
    assert (alert.level, alert.tenant_id) == ("critical", agency.pk)


def test_a_new_period_begins_anew_and_a_late_settlement_counts_for_the_old_one(agency: Tenant) -> None:
    dollar_price(starts_at=NOON - timedelta(days=30))
    create_budget(tenant_id=agency.pk, limit=Decimal(10), period=BudgetPeriod.DAY, now=NOON)
    midnight = NOON.replace(hour=0) + timedelta(days=1)
    late = take(agency, 6, now=midnight - timedelta(seconds=20))
    holds.settle(hold=late, usage=dollars(6), now=midnight + timedelta(seconds=20))
    assert told(midnight + timedelta(minutes=1)) == [("50%", "warning")]
    assert alerts("budget_threshold")[0].period.startswith(f"{NOON:%Y-%m-%d} ")
    spend(agency, 6, now=midnight + timedelta(hours=1))
    assert len(told(midnight + timedelta(hours=1, minutes=1))) == 2
    assert alerts("budget_threshold")[1].period.startswith(f"{midnight:%Y-%m-%d} ")


def test_many_who_settle_across_a_threshold_tell_of_it_once(
    agency: Tenant, budget: Budget, mail: MailServer, slack: Receiver, hook: Receiver
) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example")
    target(agency, Channel.SLACK, slack.url)
    target(agency, Channel.WEBHOOK, hook.url)
    spend(agency, 48)

    def settle(_: int) -> int:
        spend(agency, 1)
        raised = thresholds.check_budgets(tenant_id=agency.pk, now=timezone.now())
        send()
        return raised

    assert sum(at_once(31, settle)) == 1
    send()
    assert (len(mail.mails), len(slack.posts), len(hook.posts)) == (1, 1, 1)
    assert thresholds.check_budgets(tenant_id=agency.pk, now=timezone.now()) == 0


def test_another_tenants_budgets_are_another_matter(
    agency: Tenant, stranger: Tenant, budget: Budget, mail: MailServer
) -> None:
    target(stranger, Channel.EMAIL, "eve@stranger.example")
    spend(agency, 80)
    assert thresholds.check_budgets(tenant_id=stranger.pk, now=timezone.now()) == 0
    rules.evaluate_rules(now=timezone.now())
    assert {alert.tenant_id for alert in alerts("budget_threshold")} == {agency.pk}
    assert send() == 0
    with tenant_transaction(stranger):
        assert not Alert.objects.exists()


def test_a_dear_day_is_told_of_by_the_tenants_own_clock(settings: Any) -> None:
    settings.DAILY_COST_ALERT = Decimal(50)
    tokyo = factories.tenant(time_zone="Asia/Tokyo")
    dollar_price(starts_at=NOON - timedelta(days=30))
    midnight = NOON.replace(hour=15)  # in Tokyo
    day = str((NOON + timedelta(days=1)).date())
    spend(tokyo, 50, now=midnight - timedelta(seconds=1))
    rules.evaluate_rules(now=midnight - timedelta(seconds=1))
    assert alerts("daily_cost") == []
    spend(tokyo, 50, now=midnight)
    rules.evaluate_rules(now=midnight + timedelta(hours=1))
    assert alerts("daily_cost") == []
    spend(tokyo, 1, now=midnight + timedelta(hours=2))
    for _ in range(2):
        rules.evaluate_rules(now=midnight + timedelta(hours=2))
    (alert,) = alerts("daily_cost")
    assert (alert.tenant_id, alert.period) == (tokyo.pk, day)
    assert alert.message == f"{day} has cost 51.00 USD, more than 50.00 USD."


def test_usage_above_what_was_held_is_told_of(agency: Tenant) -> None:
    dollar_price()
    spend(agency, 5)
    rules.evaluate_rules(now=timezone.now())
    assert alerts("usage_above_bound") == []
    hold = take(agency, 5)
    holds.settle(hold=hold, usage=dollars(6), now=timezone.now())
    for _ in range(2):
        rules.evaluate_rules(now=timezone.now())
    (alert,) = alerts("usage_above_bound")
    assert (alert.subject, alert.data["spent"]) == (str(hold.pk), "6.00")


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


def test_evaluating_again_what_was_told_writes_nothing(
    agency: Tenant, budget: Budget, django_assert_max_num_queries: Any
) -> None:
    spend(agency, 100)
    rules.evaluate_rules(now=timezone.now())
    with django_assert_max_num_queries(60) as captured:
        rules.evaluate_rules(now=timezone.now())
    assert not [each["sql"] for each in captured if each["sql"].startswith(("INSERT", "UPDATE"))]


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
