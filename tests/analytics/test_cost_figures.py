"""The figures of the page Costs for a known ledger: whose, of which days, in how many statements."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.analytics.cost_figures import BUDGETS, TenantFigures, figures_of_tenant
from apps.analytics.cost_platform import PlatformFigures, dearest_tenant, figures_of_platform
from apps.costs.models import BudgetPeriod, BudgetScope
from apps.costs.services import rollups
from apps.costs.services.forecasts import make_forecast
from apps.messaging.models import Account
from apps.notifications.models import Level
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.analytics.spending import alert, budget, days_until, spend
from tests.costs.rolled import correction, enter, make_partitions, row

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 5, 14, 12, 45, tzinfo=UTC)
TODAY = date(2026, 5, 14)
# Each of them once, however many rows there are.
STATEMENTS = 14


@pytest.fixture(autouse=True)
def _year() -> None:
    make_partitions()


@pytest.fixture
def price_id() -> int:
    return factories.price().pk


def figures(tenant: Tenant, *, days: int = 7, now: datetime = NOW) -> TenantFigures:
    with system_transaction():
        return figures_of_tenant(tenant=tenant, days=days, now=now)


def platform(*, days: int = 7) -> PlatformFigures:
    with system_transaction():
        return figures_of_platform(days=days, now=NOW)


def test_a_day_is_stacked_by_provider_rolled_up_or_not(agency: Tenant, price_id: int) -> None:
    noon = datetime(2026, 5, 13, 12, tzinfo=UTC)
    enter(row(agency, price_id, occurred_at=noon, amount=Decimal("1.25")))
    rollups.roll_up()
    enter(
        row(agency, price_id, occurred_at=noon, amount=Decimal("0.75")),
        row(agency, price_id, occurred_at=noon, amount=Decimal(4), provider="azure"),
    )

    found = figures(agency).spend

    assert found.bars[-2].amounts == {"openai": Decimal(2), "azure": Decimal(4)}
    assert found.total == 6


def test_a_correction_counts_on_the_day_that_it_corrects(agency: Tenant, price_id: int) -> None:
    estimate = row(
        agency,
        price_id,
        occurred_at=datetime(2026, 5, 9, 12, tzinfo=UTC),
        amount=Decimal(10),
        estimated=True,
    )
    enter(estimate)
    rollups.roll_up()
    enter(correction(estimate, amount=Decimal(-7)))

    found = figures(agency).spend

    assert {bar.first: bar.total for bar in found.bars if bar.total} == {date(2026, 5, 9): 3}


def test_the_range_is_compared_with_as_many_days_before_it(agency: Tenant, price_id: int) -> None:
    for days_ago, amount in ((0, 1), (6, 2), (7, 4), (13, 8), (14, 16)):
        at = NOW - timedelta(days=days_ago)
        enter(row(agency, price_id, occurred_at=at, amount=Decimal(amount)))
    found = figures(agency).spend
    assert (found.total, found.before, found.change) == (Decimal(3), Decimal(12), Decimal("-75.0"))


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC)),
        (datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 23, tzinfo=UTC)),
    ],
    ids=["23 hours", "25 hours"],
)
def test_a_day_on_which_the_clock_changes_has_its_own_hours(
    price_id: int, begin: datetime, end: datetime
) -> None:
    paris, second = factories.tenant(time_zone="Europe/Paris"), timedelta(seconds=1)
    for at, amount in ((begin - second, 1), (begin, 2), (end - second, 4), (end, 8)):
        enter(row(paris, price_id, occurred_at=at, amount=Decimal(amount)))

    found = figures(paris, now=end - second).spend

    assert [bar.total for bar in found.bars if bar.total] == [1, 6]
    assert found.bars[-1].first == (end - second).date()


def test_today_is_the_tenants(price_id: int) -> None:
    kiritimati = factories.tenant(time_zone="Pacific/Kiritimati")  # 14 hours ahead
    enter(row(kiritimati, price_id, occurred_at=NOW, amount=Decimal(5)))
    found = figures(kiritimati).spend
    assert (found.bars[-1].first, found.bars[-1].total) == (date(2026, 5, 15), Decimal(5))


def test_another_tenants_costs_are_never_mixed_in(
    agency: Tenant, stranger: Tenant, account: Account, price_id: int
) -> None:
    theirs = factories.campaign(tenant=stranger, accounts=[])
    spend(stranger, price_id, days=days_until(TODAY, 20), campaign_id=theirs.pk)
    make_forecast(tenant=stranger, now=NOW)
    budget(stranger, 50, now=NOW)
    alert(stranger, subject="theirs")
    alert(None, subject="the platform's")

    found = figures(agency)

    assert found.spend.total == found.spend.before == 0
    assert found.spend.providers == ()
    assert [total for _, total in found.month.so_far] == [0] * 14
    assert (found.month.forecast.made_at, found.month.limit) == (None, None)
    assert (found.budgets.rows, found.budgets.number) == ([], 0)
    assert (found.campaigns.groups, found.names, found.models.groups, found.alerts.rows) == ([], {}, [], [])


def test_the_month_is_summed_day_upon_day_and_goes_on_as_forecast(agency: Tenant, price_id: int) -> None:
    spend(agency, price_id, days=days_until(TODAY, 40))
    budget(agency, 1_000, now=NOW)
    make_forecast(tenant=agency, now=NOW)

    found = figures(agency)
    month = found.month

    assert [day.day for day, _ in month.so_far] == list(range(1, 15))
    assert month.so_far[0][1] == 105  # a Friday's 70, and half of it
    assert month.so_far[-1][1] == month.forecast.spent.amount == 906
    assert month.forecast.totals[-1].band.low_95 >= 906
    assert month.limit == 1_000
    (outlook,) = found.budgets.outlooks.values()
    assert outlook.exhausted_on is not None
    assert outlook.exhausted_on.point == date(2026, 5, 15)  # another Friday


def test_the_fullest_budgets_come_first_and_no_more_than_a_dozen(agency: Tenant, price_id: int) -> None:
    enter(row(agency, price_id, occurred_at=NOW, amount=Decimal(30)))
    for _ in range(BUDGETS):
        budget(agency, 10, now=NOW, scope=BudgetScope.ACCOUNT, scope_id=factories.account(tenant=agency).pk)
    full = budget(agency, 40, now=NOW)
    fuller = budget(agency, 31, now=NOW, period=BudgetPeriod.DAY)
    budget(agency, 0, now=NOW, period=BudgetPeriod.WEEK)

    found = figures(agency).budgets

    assert [each.pk for each in found.rows[:2]] == [fuller.pk, full.pk]
    assert (len(found.rows), found.number) == (BUDGETS, BUDGETS + 3)
    assert found.rows[0].standing(at=NOW).spent == 30


def test_the_dearest_campaigns_and_models_are_named(agency: Tenant, account: Account, price_id: int) -> None:
    cheap, dear = (factories.campaign(tenant=agency, accounts=[account], name=name) for name in ("été", "夏"))
    for campaign, amount in ((cheap, 1), (dear, 3)):
        enter(row(agency, price_id, occurred_at=NOW, amount=Decimal(amount), campaign_id=campaign.pk))
    enter(row(agency, price_id, occurred_at=NOW, amount=Decimal(6), provider="azure", model="gpt-4o"))

    found = figures(agency)

    assert [group.values[0] for group in found.campaigns.groups] == [None, dear.pk, cheap.pk]
    assert found.names == {cheap.pk: "été", dear.pk: "夏"}
    assert [group.values for group in found.models.groups] == [
        ("azure", "gpt-4o"),
        ("openai", "gpt-3.5-turbo"),
    ]
    assert found.campaigns.total.amount == 10


def test_open_alerts_are_counted_by_level_and_the_newest_are_shown(agency: Tenant) -> None:
    for number in range(11):
        alert(agency, subject=f"{number}")
    alert(agency, subject="grave", level=Level.CRITICAL)
    alert(agency, subject="seen", acknowledged_at=NOW)

    found = figures(agency).alerts

    assert [each.subject for each in found.rows] == ["grave", *(str(number) for number in range(10, 1, -1))]
    assert found.counts == {"info": 0, "warning": 11, "critical": 1}


def test_the_platforms_days_are_those_of_all_tenants(agency: Tenant, stranger: Tenant, price_id: int) -> None:
    yesterday = NOW - timedelta(days=1)
    enter(row(agency, price_id, occurred_at=yesterday, amount=Decimal(1)))
    rollups.roll_up()
    enter(
        row(stranger, price_id, occurred_at=yesterday, amount=Decimal(2), provider="azure"),
        row(stranger, price_id, occurred_at=NOW - timedelta(days=8), amount=Decimal(4)),
    )
    alert(None, subject="the platform's")

    found = platform()

    assert found.spend.bars[-2].amounts == {"openai": 1, "azure": 2}
    assert (found.spend.total, found.spend.before) == (Decimal(3), Decimal(4))
    assert found.tenants == [(stranger.pk, Decimal(2)), (agency.pk, Decimal(1))]
    assert found.names == {agency.pk: agency.name, stranger.pk: stranger.name}
    assert len(found.alerts.rows) == 1


def test_who_spent_most_in_a_week_is_known_and_who_did_long_ago_forgotten(
    agency: Tenant, stranger: Tenant, price_id: int
) -> None:
    with system_transaction():
        assert dearest_tenant(now=NOW) is None
    enter(
        row(agency, price_id, occurred_at=NOW, amount=Decimal(1)),
        row(stranger, price_id, occurred_at=NOW - timedelta(days=9), amount=Decimal(100)),
    )
    with system_transaction():
        assert dearest_tenant(now=NOW) == agency.pk


def test_a_year_takes_the_same_few_statements(agency: Tenant, account: Account, price_id: int) -> None:
    counts = []
    for number in (1, 60):
        campaign = factories.campaign(tenant=agency, accounts=[account])
        spend(agency, price_id, days=days_until(TODAY, number), campaign_id=campaign.pk)
        budget(agency, 100 + number, now=NOW, scope=BudgetScope.CAMPAIGN, scope_id=campaign.pk)
        make_forecast(tenant=agency, now=NOW)
        alert(agency, subject=str(number))
        with system_transaction(), CaptureQueriesContext(connection) as captured:
            figures_of_tenant(tenant=agency, days=365, now=NOW)
        counts.append(len(captured))
        assert not [each for each in captured if 'FROM "costs_ledgerentry"' in each["sql"]]
    assert counts[1] <= counts[0] <= STATEMENTS
