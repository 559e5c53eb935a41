"""The SQL functions of holds: twins of Python's arithmetic, calls sent again, many callers at once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import available_timezones

import pytest
from django.core.exceptions import ValidationError
from django.db import ProgrammingError, connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apps.common.ids import uuid7
from apps.costs import pricing
from apps.costs.models import BudgetScope, Hold
from apps.costs.periods import period_bounds, period_start
from apps.costs.refusals import BudgetExhaustedError
from apps.costs.services import holds
from apps.costs.services.budgets import create_budget
from apps.costs.services.holds import AttemptTakenError
from apps.tenants.doors import call_for_tenant, tenant_transaction
from apps.tenants.models import Tenant, validate_time_zone
from tests.costs.spending import MODEL, counters, dollar_price, dollars, entries, take
from tests.costs.test_periods import PERIODS, ZONES
from tests.costs.test_pricing import RATES, Rates
from tests.costs.threads import at_once
from tests.tenants.answers import lose_answers

pytestmark = pytest.mark.django_db(transaction=True)

TOKENS = st.integers(min_value=0, max_value=2**31)


def select(expression: str, *arguments: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {expression}", arguments)
        return cursor.fetchone()[0]


@given(rates=RATES, body_bytes=TOKENS, max_tokens=TOKENS)
def test_the_bound_in_sql_is_the_one_in_python(rates: Rates, body_bytes: int, max_tokens: int) -> None:
    in_sql = select(
        "costs_bound(%s, %s, %s, %s, %s)",
        body_bytes,
        max_tokens,
        rates.input_per_million,
        rates.cached_input_per_million,
        rates.output_per_million,
    )

    bound = pricing.bound(body_bytes=body_bytes, max_tokens=max_tokens, rates=rates)
    assert in_sql == bound
    assert in_sql.as_tuple().exponent == bound.as_tuple().exponent == -10


@given(
    day=st.dates(datetime(2011, 1, 1).date(), datetime(2040, 1, 1).date()),  # noqa: DTZ001
    beside=st.sampled_from([timedelta(), timedelta(microseconds=-1)])
    | st.timedeltas(timedelta(), timedelta(40)),
    zone=st.sampled_from(ZONES),
    period=st.sampled_from(PERIODS),
)
def test_a_period_begins_in_sql_when_it_does_in_python(
    day: Any, beside: timedelta, zone: str, period: str
) -> None:
    first, _ = period_bounds(period, start=day, time_zone=zone)
    at = first + beside

    assert select("costs_period_start(%s, %s, %s)", period, at, zone) == period_start(
        period, at=at, time_zone=zone
    )


def test_postgresql_knows_every_time_zone_that_a_tenant_may_have() -> None:
    zones = sorted(available_timezones() - {"localtime"})
    with pytest.raises(ValidationError):
        validate_time_zone("localtime")
    for at in (datetime(2026, 1, 1, 11, 59, tzinfo=UTC), datetime(2026, 7, 1, 0, 30, tzinfo=UTC)):
        in_sql = select(
            "array_agg(costs_period_start('day', %s, zone) ORDER BY number)"
            " FROM unnest(%s::text[]) WITH ORDINALITY AS zones (zone, number)",
            at,
            zones,
        )
        assert in_sql == [period_start("day", at=at, time_zone=zone) for zone in zones]


def test_an_answer_that_is_lost_takes_and_ends_a_hold_once(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    dollar_price()
    now = timezone.now()
    create_budget(tenant_id=agency.pk, limit=Decimal(10), now=now)
    lost = lose_answers(monkeypatch)

    hold = take(agency, 10, now=now)  # found again although it fills the budget by itself

    assert lost == ["costs_take_hold"] * 2
    with tenant_transaction(agency):
        row = Hold.objects.get()
    assert (row.pk, len(row.counters)) == (hold.pk, 1)
    assert [hold.bound, hold.rates.input_per_million] == [10, 1_000_000]
    assert counters(agency) == [(0, 10)]

    holds.settle(hold=hold, usage=dollars(4), now=now)

    assert counters(agency) == [(4, 0)]
    assert len(entries(agency)) == 1

    released = take(agency, 5, now=now)
    holds.release(hold=released, now=now)

    assert counters(agency) == [(4, 0)]


def test_an_attempt_that_somebody_else_has_made_is_refused_and_weighs_nothing(agency: Tenant) -> None:
    dollar_price()
    create_budget(tenant_id=agency.pk, limit=Decimal(100), now=timezone.now())
    generation = uuid7()
    first = take(agency, 10, generation_id=generation)

    with pytest.raises(AttemptTakenError):
        take(agency, 20, generation_id=generation)

    assert counters(agency) == [(0, 10)]
    with tenant_transaction(agency):
        assert Hold.objects.get().pk == first.pk


def test_a_hold_that_has_ended_is_not_taken_again(agency: Tenant) -> None:
    dollar_price()
    now = timezone.now()
    hold = take(agency, 10, now=now)
    told = (
        hold.pk,
        hold.purpose.generation_id,
        1,
        "openai",
        MODEL,
        "message",
        None,
        None,
        None,
        10,
        0,
        now,
        now,
        now,
    )
    assert call_for_tenant(agency, "costs_take_hold", *told)["outcome"] == "taken"

    holds.release(hold=hold, now=now)

    assert call_for_tenant(agency, "costs_take_hold", *told)["outcome"] == "attempt_taken"


def test_attempts_of_one_number_at_once_are_one_hold(agency: Tenant) -> None:
    dollar_price()
    create_budget(tenant_id=agency.pk, limit=Decimal(100), now=timezone.now())
    generation = uuid7()

    def try_to_take(_: int) -> bool:
        try:
            take(agency, 10, generation_id=generation)
        except AttemptTakenError:
            return False
        return True

    assert sum(at_once(8, try_to_take)) == 1
    assert counters(agency) == [(0, 10)]


def test_a_stranger_can_end_no_hold_and_take_none_for_others(agency: Tenant, stranger: Tenant) -> None:
    dollar_price()
    create_budget(tenant_id=agency.pk, limit=Decimal(100), now=timezone.now())
    hold = take(agency, 10)
    now = timezone.now()

    settled = call_for_tenant(stranger, "costs_settle_hold", hold.pk, 1, 0, 0, Decimal(1), now)
    assert settled["outcome"] == "missing"
    assert call_for_tenant(stranger, "costs_release_hold", hold.pk, now) == {"called": False}
    with pytest.raises(ProgrammingError, match="row-level security"), tenant_transaction(stranger):
        select(
            "costs_take_hold(%s, %s, %s, 1, 'openai', %s, 'message', NULL, NULL, NULL, 1, 0, %s, %s, %s)",
            *(agency.pk, uuid7(), uuid7(), MODEL, now, now, now),
        )

    assert counters(agency) == [(0, 10)]
    theirs = replace(hold, purpose=replace(hold.purpose, tenant_id=stranger.pk))
    with pytest.raises(Hold.DoesNotExist):
        holds.settle(hold=theirs, usage=None, now=now)


def test_a_period_that_never_opens_is_no_endless_loop(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    dollar_price()
    now = timezone.now()
    create_budget(tenant_id=agency.pk, limit=Decimal(100), now=now)
    monkeypatch.setattr("apps.costs.services.counters.open_period", lambda **_: None)

    with pytest.raises(RuntimeError, match="time zones"):
        take(agency, 1, occurred_at=now + timedelta(days=40))


def test_a_refusal_undoes_the_counters_before_it_even_in_the_callers_transaction(agency: Tenant) -> None:
    dollar_price()
    campaign = uuid7()
    create_budget(tenant_id=agency.pk, limit=Decimal(100), now=timezone.now())
    for_campaign: dict[str, Any] = {"scope": BudgetScope.CAMPAIGN, "scope_id": campaign}
    create_budget(tenant_id=agency.pk, limit=Decimal(10), now=timezone.now(), **for_campaign)

    with tenant_transaction(agency):
        with pytest.raises(BudgetExhaustedError):
            take(agency, 20, campaign_id=campaign)
        kept = take(agency, 5, campaign_id=campaign)
        row = Hold.objects.get(pk=kept.pk)

    assert counters(agency) == [(0, 5), (0, 5)]
    assert len(row.counters) == 2
