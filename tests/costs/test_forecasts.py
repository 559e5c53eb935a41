"""Making forecasts: whose, when, from what; and what is left of one that was interrupted."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection
from psycopg.types.json import Jsonb

from apps.common.ids import uuid7
from apps.costs.forecasting import outlook
from apps.costs.models import Budget, BudgetPeriod, BudgetScope, Forecast
from apps.costs.services import forecast_rows, forecasts, rollups
from apps.costs.services.budgets import change_budget, create_budget
from apps.costs.services.forecasts import make_due_forecasts, make_forecast
from apps.operations.models import JobRun, JobState
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tasks.costs import make_forecasts
from tests import factories
from tests.costs.rolled import another_connection, enter, row
from tests.costs.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("year")]

TODAY = date(2026, 5, 14)  # a Thursday
NIGHT = datetime(2026, 5, 14, 0, 45, tzinfo=UTC)
WEEK = [50, 60, 55, 52, 70, 10, 5]


def spend(
    tenant: Tenant, price_id: int, *, days: int, until: date = TODAY, factor: Decimal = Decimal(1), **of: Any
) -> None:
    """The same each week, at noon, on whole days until then; rolled up."""
    begin = datetime(until.year, until.month, until.day, 12, tzinfo=UTC)
    ago = [begin - timedelta(days=number) for number in range(1, days + 1)]
    enter(*(row(tenant, price_id, occurred_at=at, amount=WEEK[at.weekday()] * factor, **of) for at in ago))
    rollups.roll_up()


def kept(tenant: Tenant) -> list[Forecast]:
    with tenant_transaction(tenant):
        return list(Forecast.objects.order_by("made_on"))


def week_from(start: date, days: int) -> int:
    return sum(WEEK[(start + timedelta(days=number)).weekday()] for number in range(days))


def test_a_month_is_what_was_spent_and_what_will_be(agency: Tenant, price_id: int) -> None:
    spend(agency, price_id, days=70)

    made = make_forecast(tenant=agency, now=NIGHT)

    assert (made.made_on, made.month, made.observed_days) == (TODAY, date(2026, 5, 1), 70)
    assert made.spent == week_from(date(2026, 5, 1), 13)
    assert made.point == pytest.approx(Decimal(week_from(date(2026, 5, 1), 31)), rel=Decimal("0.02"))
    assert [each["day"] for each in made.days] == [f"2026-05-{day}" for day in range(14, 32)]
    assert [each["day"] for each in made.totals] == [f"2026-05-{day:02}" for day in range(1, 32)]
    assert made.totals[12]["low_95"] == made.totals[12]["high_95"] == str(made.spent)
    assert made.totals[-1]["point"] == str(made.point)
    assert made.backtest is not None
    assert made.backtest["measure"] == "wape_of_running_totals"
    assert made.backtest["origins"] > 8


def test_what_is_not_yet_rolled_up_counts(agency: Tenant, price_id: int) -> None:
    spend(agency, price_id, days=6)
    before = make_forecast(tenant=agency, now=NIGHT)
    enter(row(agency, price_id, occurred_at=NIGHT - timedelta(minutes=5), amount=Decimal(400)))

    after = make_forecast(tenant=agency, now=NIGHT)

    assert after.spent == before.spent + 400
    assert after.point is not None
    assert before.point is not None
    assert after.point > before.point + 300


def test_made_twice_on_a_day_it_is_there_once_as_it_was_last(agency: Tenant, price_id: int) -> None:
    make_forecast(tenant=agency, now=NIGHT)
    spend(agency, price_id, days=10)
    make_forecast(tenant=agency, now=NIGHT + timedelta(hours=3))

    (only,) = kept(agency)
    assert (only.made_at, only.method) == (NIGHT + timedelta(hours=3), "run_rate")


def test_made_by_several_at_once_it_is_there_once(agency: Tenant, price_id: int) -> None:
    spend(agency, price_id, days=20)
    at_once(4, lambda _: make_forecast(tenant=agency, now=NIGHT))
    assert len(kept(agency)) == 1


def test_without_spend_it_says_so(agency: Tenant) -> None:
    made = make_forecast(tenant=agency, now=NIGHT)
    assert (made.method, made.point, made.days, made.totals, made.budgets) == ("none", None, [], [], [])
    assert made.reason.endswith("since the first spend; so far there is none.")


def test_another_tenants_spend_is_not_ours(agency: Tenant, stranger: Tenant, price_id: int) -> None:
    spend(stranger, price_id, days=20)
    make_forecast(tenant=agency, now=NIGHT)
    make_forecast(tenant=stranger, now=NIGHT)

    assert [each.method for each in kept(agency)] == ["none"]
    assert [each.method for each in kept(stranger)] == ["weekday_means"]


def test_it_is_due_once_on_each_day_of_the_tenants_own_calendar(agency: Tenant) -> None:
    tokyo = factories.tenant(time_zone="Asia/Tokyo")  # nine hours ahead

    def made_at(hour: int, minute: int) -> int:
        return make_due_forecasts(now=datetime(2026, 5, 14, hour, minute, tzinfo=UTC))

    assert made_at(0, 29) == 1  # in UTC, the day before may still be settled
    assert made_at(0, 30) == 1
    assert made_at(14, 59) == 0
    assert made_at(15, 29) == 0
    assert made_at(15, 30) == 1
    assert [str(each.made_on) for each in kept(tokyo)] == ["2026-05-14", "2026-05-15"]
    assert [str(each.made_on) for each in kept(agency)] == ["2026-05-14"]


def test_a_day_that_begins_at_one_has_its_forecast_all_the_same() -> None:
    """In Santiago, clocks skip the midnight of the 6th of September."""
    santiago = factories.tenant(time_zone="America/Santiago")
    midnight = datetime(2026, 9, 6, 4, tzinfo=UTC)
    make_due_forecasts(now=midnight - timedelta(hours=5))

    assert make_due_forecasts(now=midnight + timedelta(minutes=29)) == 0
    assert make_due_forecasts(now=midnight + timedelta(minutes=30)) == 1
    assert str(kept(santiago)[-1].made_on) == "2026-09-06"


def test_one_that_fails_keeps_no_other_from_its_turn(agency: Tenant, stranger: Tenant) -> None:
    """The first tenant's row is refused by the database; it is made once that is mended."""
    with refused(agency):
        with pytest.raises(ExceptionGroup, match=r"1 of 2 forecasts failed, first: .*refused"):
            make_due_forecasts(now=NIGHT)
        assert (kept(agency), len(kept(stranger))) == ([], 1)

    assert make_due_forecasts(now=NIGHT) == 1
    assert len(kept(agency)) == 1


@contextmanager
def refused(tenant: Tenant) -> Iterator[None]:
    """A constraint under which a tenant's forecasts can't be written."""
    with another_connection() as owner:
        owner.execute(f"ALTER TABLE costs_forecast ADD CONSTRAINT refused CHECK (tenant_id <> '{tenant.pk}')")
        owner.commit()
        yield
        owner.execute("ALTER TABLE costs_forecast DROP CONSTRAINT refused")


def test_no_transaction_is_open_while_it_is_computed(
    agency: Tenant, price_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(agency, price_id, days=20)
    states: list[tuple[bool, bool]] = []
    genuine = outlook.look_ahead

    def watched(*args: Any, **options: Any) -> Any:
        states.append((connection.in_atomic_block, connection.connection is None))
        return genuine(*args, **options)

    monkeypatch.setattr(outlook, "look_ahead", watched)
    make_forecast(tenant=agency, now=NIGHT)

    assert states == [(False, True)]


def test_the_task_is_done_once_an_hour_and_again_if_its_process_died(
    agency: Tenant, stranger: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies between two tenants: the first's forecast stays, the next run makes the other's."""
    done: list[Tenant] = []

    def die_at_the_second(*, tenant: Tenant, now: datetime) -> Forecast:
        if done:
            raise KeyboardInterrupt
        done.append(tenant)
        return make_forecast(tenant=tenant, now=now)

    monkeypatch.setattr("tasks.costs.timezone.now", lambda: NIGHT)
    with monkeypatch.context() as patch:
        patch.setattr(forecasts, "make_forecast", die_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            make_forecasts()
    make_forecasts()
    assert len(kept(agency)) + len(kept(stranger)) == 1, "the dead run's lease is still held"

    monkeypatch.setattr("tasks.costs.timezone.now", lambda: NIGHT + timedelta(minutes=11))
    make_forecasts(period="2026-05-14T00:00:00+00:00")

    assert len(kept(agency)) == len(kept(stranger)) == 1
    with system_transaction():
        run = JobRun.objects.get(job="tasks.costs.make_forecasts")
    assert (run.state, run.attempts) == (JobState.DONE, 2)


def test_old_forecasts_go(agency: Tenant) -> None:
    with tenant_transaction(agency):
        for days in (400, 401):
            Forecast.objects.create(
                tenant_id=agency.pk,
                made_on=TODAY - timedelta(days=days),
                made_at=NIGHT,
                month=TODAY,
                method="none",
                observed_days=0,
                spent="0",
            )
    make_forecast(tenant=agency, now=NIGHT)
    assert [each.made_on for each in kept(agency)] == [TODAY - timedelta(days=400), TODAY]


def test_the_database_refuses_a_forecast_whose_intervals_are_out_of_order(agency: Tenant) -> None:
    ends = {"low_95": 1, "low_80": 3, "point": 2, "high_80": 4, "high_95": 5}
    with pytest.raises(IntegrityError, match="forecast_intervals_in_order"), tenant_transaction(agency):
        Forecast.objects.create(
            tenant_id=agency.pk,
            made_on=TODAY,
            made_at=NIGHT,
            month=TODAY,
            method="ets",
            observed_days=99,
            spent="0",
            **ends,
        )


def budget(tenant: Tenant, limit: int, *, period: BudgetPeriod = BudgetPeriod.MONTH, **of: Any) -> Budget:
    return create_budget(tenant_id=tenant.pk, limit=Decimal(limit), period=period, now=NIGHT, **of)


def test_each_budget_of_a_week_or_month_has_its_own_period(agency: Tenant, price_id: int) -> None:
    spend(agency, price_id, days=70)
    of_month, of_week = budget(agency, 900), budget(agency, 900, period=BudgetPeriod.WEEK)
    budget(agency, 900, period=BudgetPeriod.DAY)
    switched_off = budget(agency, 900, scope=BudgetScope.PROVIDER, provider="openai")
    change_budget(budget=switched_off, is_active=False, now=NIGHT)

    made = make_forecast(tenant=agency, now=NIGHT)

    spans = {each["id"]: (each["starts_on"], each["ends_on"], each["spent"]) for each in made.budgets}
    assert spans == {
        str(of_month.pk): ("2026-05-01", "2026-05-31", str(made.spent)),
        str(of_week.pk): ("2026-05-11", "2026-05-17", f"{week_from(date(2026, 5, 11), 3)}.0000000000"),
    }
    assert len(made.budget_totals[str(of_week.pk)]) == 7
    (week,) = [each for each in made.budgets if each["id"] == str(of_week.pk)]
    assert float(week["point"]) == pytest.approx(sum(WEEK), rel=0.05)


def test_a_week_may_end_after_the_month(agency: Tenant, price_id: int) -> None:
    spend(agency, price_id, days=70, until=date(2026, 4, 30))  # a Thursday, and the month's last
    of_week = budget(agency, 100, period=BudgetPeriod.WEEK)

    made = make_forecast(tenant=agency, now=datetime(2026, 4, 30, 1, tzinfo=UTC))

    assert [each["day"] for each in made.days] == ["2026-04-30"]
    assert [each["day"] for each in made.budget_totals[str(of_week.pk)]][-1] == "2026-05-03"


def test_a_budget_for_a_part_is_forecast_from_that_part(agency: Tenant, price_id: int) -> None:
    account = uuid7()
    spend(agency, price_id, days=30, account_id=account)
    spend(agency, price_id, days=30, account_id=uuid7(), factor=Decimal(3))
    of_account = budget(agency, 900, scope=BudgetScope.ACCOUNT, scope_id=account)
    of_provider = budget(agency, 900, scope=BudgetScope.PROVIDER, provider="openai")
    of_nothing = budget(agency, 900, scope=BudgetScope.CAMPAIGN, scope_id=uuid7())

    made = make_forecast(tenant=agency, now=NIGHT)

    points = {each["id"]: Decimal(each["point"]) for each in made.budgets}
    assert points[str(of_account.pk)] * 4 == pytest.approx(points[str(of_provider.pk)], rel=Decimal("0.01"))
    assert points[str(of_provider.pk)] == made.point
    assert str(of_nothing.pk) not in points, "nothing was ever spent on it"


def test_only_the_largest_of_many_budgets_have_models_of_their_own(agency: Tenant, price_id: int) -> None:
    users = [uuid7() for _ in range(forecast_rows.MOST_MODELLED + 1)]
    for user in users:
        spend(agency, price_id, days=60, user_id=user)
    limits = {
        budget(agency, 100 + number, scope=BudgetScope.USER, scope_id=user).pk: number
        for number, user in enumerate(users)
    }

    made = make_forecast(tenant=agency, now=NIGHT)

    assert len(made.budgets) == len(users)
    simple = [each["id"] for each in made.budgets if each["method"] == "weekday_means"]
    assert simple == [str(pk) for pk, number in limits.items() if number == 0]


def test_json_of_a_row_reads_as_numbers_in_sql(agency: Tenant, price_id: int) -> None:
    """The alert rule compares them there."""
    spend(agency, price_id, days=20)
    budget(agency, 900)
    made = make_forecast(tenant=agency, now=NIGHT)
    with another_connection() as owner:
        ((point,),) = owner.execute(
            "SELECT point FROM jsonb_to_recordset(%s) AS ahead (point numeric)", [Jsonb(made.budgets)]
        ).fetchall()
    assert point == made.point
