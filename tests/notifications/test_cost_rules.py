"""What costs tell of, each from below its limit to above it, and told once."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st

from apps.common.ids import uuid7
from apps.costs.alert_rules.budgets import looked_at
from apps.costs.models import Budget, BudgetCounter, BudgetMode, BudgetPeriod, BudgetScope
from apps.costs.periods import period_start
from apps.costs.services import budgets, holds, thresholds
from apps.costs.services.budgets import create_budget
from apps.costs.services.holds import Held
from apps.notifications.models import Alert, Channel, Level
from apps.notifications.services import rules
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.costs.spending import dollar_price, dollars, take
from tests.costs.test_periods import PERIODS, ZONES
from tests.costs.threads import at_once
from tests.notifications.alerting import alerts, send, target
from tests.notifications.receivers import MailServer, Receiver

pytestmark = pytest.mark.django_db(transaction=True)

NOON = timezone.now().replace(hour=12, minute=0, second=0, microsecond=0)


def spend(tenant: Tenant, amount: int, *, now: datetime | None = None, **purpose: Any) -> Held:
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
    spend(agency, 1)
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


@pytest.mark.parametrize("scope", ["tenant", "provider", "account", "campaign", "user"])
def test_an_alert_says_which_budget_it_is_about(agency: Tenant, scope: BudgetScope) -> None:
    dollar_price()
    whose = uuid7() if scope in {"account", "campaign", "user"} else None
    provider = "openai" if scope == "provider" else ""
    with system_transaction():
        mine = Budget.objects.create(
            tenant_id=agency.pk, limit=Decimal(10), scope=scope, scope_id=whose, provider=provider
        )
    purpose: dict[str, Any] = {f"{scope}_id": whose} if whose else {}
    spend(agency, 8, **purpose)
    with system_transaction():
        Budget.objects.filter(pk=mine.pk).update(limit=Decimal(5))
        BudgetCounter.objects.filter(budget=mine).update(shadow_calls=2)
    rules.evaluate_rules(now=timezone.now())
    with system_transaction():
        Budget.objects.filter(pk=mine.pk).update(mode="shadow")
    rules.evaluate_rules(now=timezone.now())

    found = [alert for name in ("threshold", "exceeded", "shadow") for alert in alerts(f"budget_{name}")]

    assert {alert.rule for alert in found} == {"budget_threshold", "budget_exceeded", "budget_shadow"}
    called = f" for the {scope} {whose or provider}" if scope != "tenant" else ""
    for alert in found:
        assert f"the budget of 5.00 USD a month{called} " in alert.message
        about = {key: alert.data[key] for key in ("scope", "scope_id", "provider")}
        assert about == {
            "scope": scope,
            "scope_id": str(whose) if whose else None,
            "provider": provider or None,
        }


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


def test_what_is_settled_long_after_the_end_of_its_period_is_told_of(agency: Tenant) -> None:
    dollar_price(starts_at=NOON - timedelta(days=30))
    create_budget(tenant_id=agency.pk, limit=Decimal(10), period=BudgetPeriod.DAY, now=NOON)
    midnight = NOON.replace(hour=0) + timedelta(days=1)
    asked = [take(agency, 3, now=midnight - timedelta(minutes=10)) for _ in range(3)]
    for hold, minutes in zip(asked, (5, 11, 40), strict=True):
        now = midnight + timedelta(minutes=minutes)
        holds.settle(hold=hold, usage=dollars(3), now=now)
        thresholds.check_budgets(tenant_id=agency.pk, now=now)
    # A call may have waited for a day.
    waited = take(agency, 1, occurred_at=midnight - timedelta(minutes=1), now=midnight + timedelta(days=1))
    now = midnight + timedelta(days=1, minutes=2)
    assert [each.period for each in alerts("budget_threshold")] == [
        f"{NOON:%Y-%m-%d} {percent}% of 10.00" for percent in (50, 80)
    ]
    holds.settle(hold=waited, usage=dollars(1), now=now)
    assert told(now)[2:] == [("100%", "critical")]


@pytest.mark.parametrize("mode", ["stop", "shadow"])
def test_what_a_period_came_to_is_told_of_where_the_rules_stood_still_at_its_end(
    agency: Tenant, mode: BudgetMode
) -> None:
    dollar_price(starts_at=NOON - timedelta(days=30))
    day: dict[str, Any] = {"period": BudgetPeriod.DAY, "limit": Decimal(10), "mode": mode, "now": NOON}
    create_budget(tenant_id=agency.pk, **day)
    hold = take(agency, 10, now=NOON)
    if mode == "shadow":
        spend(agency, 1, now=NOON)
    holds.settle(hold=hold, usage=dollars(11), now=NOON)
    later = NOON + timedelta(days=1)
    assert [percent for percent, _ in told(later)] == ["100%", "50%", "80%"]
    (alert,) = alerts("budget_exceeded" if mode == "stop" else "budget_shadow")
    assert alert.period == f"{NOON:%Y-%m-%d} of 10.00"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"limit": Decimal(9)}),
        ({}, {"thresholds": [10]}),
        ({"mode": BudgetMode.WATCH, "limit": Decimal(9)}, {"mode": BudgetMode.STOP}),
        ({"mode": BudgetMode.SHADOW, "limit": Decimal(9)}, {"limit": Decimal(8)}),
        ({"limit": Decimal(9), "is_active": False}, {"is_active": True}),
    ],
)
def test_of_a_period_that_was_over_when_its_budget_was_changed_nothing_new_is_told(
    agency: Tenant, before: dict[str, Any], after: dict[str, Any]
) -> None:
    dollar_price(starts_at=NOON - timedelta(days=30))
    day = {"period": BudgetPeriod.DAY, "limit": Decimal(100), "thresholds": [], "now": NOON}
    row = create_budget(tenant_id=agency.pk, **{**day, **before})
    spend(agency, 10, now=NOON)
    later = NOON + timedelta(days=1)

    def known() -> int:
        told(later)
        return sum(len(alerts(f"budget_{name}")) for name in ("threshold", "exceeded", "shadow"))

    earlier = known()
    budgets.change_budget(budget=row, now=later, **after)
    assert known() == earlier


def test_of_a_period_that_was_over_by_then_thresholds_set_for_all_tell_nothing(agency: Tenant) -> None:
    dollar_price(starts_at=NOON - timedelta(days=30))
    create_budget(tenant_id=agency.pk, limit=Decimal(100), period=BudgetPeriod.DAY, thresholds=[], now=NOON)
    spend(agency, 10, now=NOON)
    later = NOON + timedelta(days=1)
    budgets.set_thresholds(tenant_id=agency.pk, thresholds=[10], now=later)
    assert told(later) == []


@given(
    now=st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    zone=st.sampled_from(ZONES),
    period=st.sampled_from(PERIODS),
)
@example(now=datetime(2026, 3, 29, 22, 30, tzinfo=UTC), zone="Europe/Berlin", period="day")  # after 23 hours
def test_no_period_that_was_of_late_is_overlooked(now: datetime, zone: str, period: str) -> None:
    of_late = [now - timedelta(minutes=15) * step for step in range(4 * 24 + 1)]
    assert {period_start(period, at=at, time_zone=zone) for at in looked_at(now)} >= {
        period_start(period, at=at, time_zone=zone) for at in of_late
    }


@pytest.mark.parametrize("mode", ["stop", "shadow", "watch"])
def test_a_correction_that_raises_a_period_that_is_over_is_told_of_whatever_the_mode(
    agency: Tenant, mode: BudgetMode
) -> None:
    dollar_price(starts_at=NOON - timedelta(days=30))
    create_budget(
        tenant_id=agency.pk,
        limit=Decimal(10),
        period=BudgetPeriod.DAY,
        mode=mode,
        thresholds=[50],
        now=NOON,
    )
    lost = [take(agency, 2, now=NOON) for _ in range(2)]
    for hold in lost:
        holds.settle(hold=hold, usage=None, now=NOON)
    later = NOON + timedelta(days=3)
    holds.settle(hold=lost[0], usage=dollars(3), now=later)
    assert told(later) == [("50%", "warning")]
    assert alerts("budget_threshold")[0].period == f"{NOON:%Y-%m-%d} 50% of 10.00"
    assert alerts("budget_exceeded") == []

    holds.settle(hold=lost[1], usage=dollars(8), now=later)

    assert len(told(later)) == len(told(later + timedelta(hours=1))) == 1
    (alert,) = alerts("budget_exceeded")
    assert (alert.level, alert.period) == ("critical", f"{NOON:%Y-%m-%d} of 10.00")
    assert "became known later" in alert.message


def test_a_correction_that_lowers_a_period_that_is_over_is_not_told_of(agency: Tenant) -> None:
    dollar_price(starts_at=NOON - timedelta(days=30))
    create_budget(tenant_id=agency.pk, limit=Decimal(10), period=BudgetPeriod.DAY, now=NOON)
    lost = take(agency, 9, now=NOON)
    holds.settle(hold=lost, usage=None, now=NOON)
    later = NOON + timedelta(days=3)
    holds.settle(hold=lost, usage=dollars(8), now=later)
    assert told(later) == []


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


def test_usage_above_what_was_held_is_told_of_where_it_is_known_late(agency: Tenant) -> None:
    dollar_price()
    hold = take(agency, 5)
    holds.settle(hold=hold, usage=None, now=timezone.now())
    rules.evaluate_rules(now=timezone.now())
    assert alerts("usage_above_bound") == []
    holds.settle(hold=hold, usage=dollars(6), now=timezone.now())
    rules.evaluate_rules(now=timezone.now())
    (alert,) = alerts("usage_above_bound")
    assert (alert.subject, alert.data["spent"]) == (str(hold.pk), "6.00")


def test_usage_above_what_was_held_is_told_of_where_the_rules_stood_still_meanwhile(agency: Tenant) -> None:
    dollar_price()
    now = timezone.now()
    hold = take(agency, 5, now=now, occurred_at=now - timedelta(days=1))
    holds.settle(hold=hold, usage=dollars(6), now=now)
    rules.evaluate_rules(now=now + timedelta(hours=23))
    (alert,) = alerts("usage_above_bound")
    assert (alert.subject, alert.data["spent"]) == (str(hold.pk), "6.00")


def test_usage_above_what_was_held_is_told_of_where_it_is_known_days_later(agency: Tenant) -> None:
    dollar_price()
    now = timezone.now()
    lost = [take(agency, 5, now=now) for _ in range(2)]
    for hold in lost:
        holds.settle(hold=hold, usage=None, now=now)
    later = now + timedelta(days=40)
    for hold, cost in zip(lost, (5, 6), strict=True):
        holds.settle(hold=hold, usage=dollars(cost), now=later)
    rules.evaluate_rules(now=later + timedelta(hours=23))
    (alert,) = alerts("usage_above_bound")
    assert (alert.subject, alert.data["spent"]) == (str(lost[1].pk), "6.00")


def test_a_day_that_was_dear_just_before_its_end_is_told_of_after_it(agency: Tenant, settings: Any) -> None:
    settings.DAILY_COST_ALERT = Decimal(50)
    dollar_price(starts_at=NOON - timedelta(days=30))
    midnight = NOON.replace(hour=0)
    hold = take(agency, 51, now=midnight - timedelta(seconds=5))
    holds.settle(hold=hold, usage=dollars(51), now=midnight + timedelta(seconds=5))
    for _ in range(2):
        rules.evaluate_rules(now=midnight + timedelta(seconds=15))
    (alert,) = alerts("daily_cost")
    assert alert.period == str((midnight - timedelta(days=1)).date())


def test_evaluating_again_what_was_told_writes_nothing(
    agency: Tenant, budget: Budget, django_assert_max_num_queries: Any
) -> None:
    spend(agency, 100)
    rules.evaluate_rules(now=timezone.now())
    with django_assert_max_num_queries(100) as captured:
        rules.evaluate_rules(now=timezone.now())
    assert not [each["sql"] for each in captured if each["sql"].startswith(("INSERT", "UPDATE"))]
