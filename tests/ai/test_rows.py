"""The rows of generations and their money, written together at each end of an attempt."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.utils import timezone
from structlog.testing import capture_logs

from apps.ai.models import Deployment, GenerationState, Provider, Source
from apps.ai.services import rows
from apps.ai.services.rows import Ended, Ending, Settlement
from apps.common.errors import ConflictError
from apps.common.ids import uuid7
from apps.common.priority import Priority
from apps.costs.models import BudgetMode, BudgetScope, HoldState
from apps.costs.pricing import Usage
from apps.costs.refusals import BudgetBusyError, BudgetExhaustedError, NoPriceError
from apps.costs.services import holds
from apps.costs.services.budgets import create_budget
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.ai.asking import read
from tests.ai.attempts import (
    FAILED,
    MINUTE,
    SUCCEEDED,
    attempt,
    begun,
    end,
    hold_of,
    purpose_of,
    question,
    refused,
)
from tests.costs.spending import MODEL, counters, dollar_price, dollars, entries, take
from tests.tenants.answers import function_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _price(db: None) -> None:
    dollar_price()


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def test_a_new_question_gets_its_row_and_its_hold_together(agency: Tenant, now: datetime) -> None:
    ids: dict[str, Any] = {"account_id": uuid7(), "campaign_id": uuid7(), "user_id": uuid7()}
    purpose = purpose_of(agency, now, **ids)
    create_budget(tenant_id=agency.pk, limit=Decimal(40), now=now)

    found = begun(purpose, now + MINUTE, question=question(fan={"name": "Zoë"}))

    row = read(agency, purpose.generation_id)
    assert (row.state, row.attempts, row.lease_expires_at) == ("running", 1, now + 2 * MINUTE)
    assert (row.created_at, row.started_at, row.finished_at) == (now, now + MINUTE, None)
    assert (row.task_kind, row.priority, row.max_tokens) == ("message", Priority.HIGH, 300)
    assert (row.prompt.key, row.variables, row.explain) == ("fan_message", {"fan": {"name": "Zoë"}}, [])
    hold = hold_of(agency)
    for each in (row, hold, found.hold.purpose):
        assert {name: getattr(each, name) for name in ids} == ids
    kept = ("attempt", "provider", "model", "bound", "currency", "price_id", "expires_at")
    told, attempt_told = found.hold, found.hold.attempt
    assert [getattr(hold, name) for name in kept] == [
        *(attempt_told.number, attempt_told.provider, attempt_told.model),
        *(told.bound, told.currency, told.price_id, told.expires_at),
    ]
    assert (hold.generation_id, hold.occurred_at, hold.state) == (row.pk, now, "held")
    assert found.lease_expires_at == row.lease_expires_at
    assert counters(agency) == [(0, 10)]


def test_what_a_budget_has_left_is_the_fullest_ones_share(agency: Tenant, now: datetime) -> None:
    campaign = uuid7()
    purposes = [purpose_of(agency, now, campaign_id=campaign) for _ in range(4)]
    assert begun(purposes[0], now).budget_left is None
    create_budget(tenant_id=agency.pk, limit=Decimal(1), mode=BudgetMode.WATCH, now=now)
    assert begun(purposes[1], now).budget_left is None

    create_budget(
        tenant_id=agency.pk, scope=BudgetScope.PROVIDER, provider="openai", limit=Decimal(100), now=now
    )
    assert begun(purposes[2], now).budget_left == Decimal("0.7")
    create_budget(
        tenant_id=agency.pk, scope=BudgetScope.CAMPAIGN, scope_id=campaign, limit=Decimal(50), now=now
    )

    assert begun(purposes[3], now).budget_left == Decimal("0.2")


def test_a_budget_of_nothing_has_nothing_left(agency: Tenant, now: datetime) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(0), now=now)

    assert begun(purpose_of(agency, now), now, attempt=attempt(now, cost=0)).budget_left == 0


def test_each_end_of_an_attempt_is_one_statement(
    agency: Tenant, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(40), now=now)
    purpose, asked = purpose_of(agency, now), question()
    statements: list[str] = []

    def note(self: Any, statement: str, *arguments: Any) -> Any:
        statements.append(statement)
        return execute(self, statement, *arguments)

    execute = psycopg.Cursor.execute
    monkeypatch.setattr(psycopg.Cursor, "execute", note)
    found = begun(purpose, now, question=asked)
    end(purpose, now, found.lease_expires_at, SUCCEEDED, Settlement(found.hold, dollars(3)))
    rows.record_generation(purpose=purpose_of(agency, now), question=asked, ending=SUCCEEDED, now=now)

    assert [function_of(each) for each in statements] == [
        "ai_begin_attempt",
        "ai_end_generation",
        "ai_record_generation",
    ]


def test_the_next_attempt_renews_the_lease_and_never_shortens_it(agency: Tenant, now: datetime) -> None:
    purpose = purpose_of(agency, now)
    first = begun(purpose, now)

    second = begun(
        purpose, now, attempt=attempt(now, 2), lease_was=now + MINUTE, lease_until=now + 3 * MINUTE
    )
    third = begun(purpose, now, attempt=attempt(now, 3), lease_was=now + 3 * MINUTE, lease_until=now + MINUTE)

    assert [each.lease_expires_at - now for each in (first, second, third)] == [
        MINUTE,
        3 * MINUTE,
        3 * MINUTE,
    ]
    row = read(agency, purpose.generation_id)
    assert (row.attempts, row.lease_expires_at) == (3, third.lease_expires_at)
    assert hold_of(agency, 3).occurred_at == row.created_at


def test_a_hold_is_for_what_the_row_says_and_not_for_what_the_caller_says(
    agency: Tenant, now: datetime
) -> None:
    campaign = uuid7()
    purpose = purpose_of(agency, now, campaign_id=campaign)
    begun(purpose, now)
    other = purpose_of(agency, now + MINUTE, generation_id=purpose.generation_id, campaign_id=uuid7())

    begun(other, now, attempt=attempt(now, 2), lease_was=now + MINUTE)

    hold = hold_of(agency, 2)
    assert (hold.campaign_id, hold.occurred_at) == (campaign, now)


@pytest.mark.parametrize(
    ("limit", "spent", "model", "error"),
    [
        (100, 0, "gpt-unheard-of", NoPriceError),
        (100, 95, MODEL, BudgetExhaustedError),
        (15, 0, MODEL, BudgetBusyError),
    ],
)
def test_a_refused_hold_leaves_the_row_running_until_it_is_ended(
    agency: Tenant, now: datetime, limit: int, spent: int, model: str, error: type[Exception]
) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(limit), now=now)
    other = take(agency, 10)
    holds.settle(hold=other, usage=dollars(spent), now=now) if spent else None
    before = counters(agency)
    purpose = purpose_of(agency, now)

    found = refused(purpose, now, attempt=attempt(now, model=model))

    assert isinstance(found.error, error)
    assert counters(agency) == before
    assert read(agency, purpose.generation_id).state == "running"

    ended = end(purpose, now, found.lease_expires_at, FAILED)

    assert ended == Ended(0, 0, 0, Decimal(0))
    row = read(agency, purpose.generation_id)
    assert (row.state, row.error_code, row.error) == ("failed", "server_error", "It is down.")
    assert (row.finished_at, row.lease_expires_at) == (now, None)


def test_after_a_refusal_another_attempt_may_find_room(agency: Tenant, now: datetime) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(15), now=now)
    other = take(agency, 10)
    purpose = purpose_of(agency, now)
    lease = refused(purpose, now).lease_expires_at

    holds.release(hold=other, now=now)

    assert begun(purpose, now, lease_was=lease, lease_until=lease + MINUTE).hold.bound == 10


def test_the_first_call_of_a_period_opens_it(agency: Tenant, now: datetime) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(15), now=now)
    last_month = now.replace(day=1) - timedelta(days=3)
    purpose = purpose_of(agency, last_month)

    begun(purpose, now)

    assert sorted(counters(agency)) == [(0, 0), (0, 10)]
    assert read(agency, purpose.generation_id).created_at == last_month


def test_an_ending_is_recorded_with_all_that_belongs_to_it(agency: Tenant, now: datetime) -> None:
    with system_transaction():
        deployment = Deployment.objects.create(
            name="d", provider=Provider.OPENAI, model=MODEL, model_class="standard"
        )
    purpose, joined = purpose_of(agency, now), uuid7()
    found = begun(purpose, now)
    ending = Ending(
        GenerationState.SUCCEEDED,
        Source.STALE,
        deployment_id=deployment.pk,
        model=MODEL,
        text="Hel\0lo \ud83d",
        data={"a\0": ["\ud83d", None, 1.5]},
        error_code="code",
        error="wo\0rds",
        explain=({"deployment": "d\0"},),
        attempts=7,
        latency=timedelta(seconds=1.25),
        age=timedelta(days=2),
        joined_id=joined,
    )

    end(purpose, now + MINUTE, found.lease_expires_at, ending, Settlement(found.hold, dollars(3)))

    row = read(agency, purpose.generation_id)
    assert (row.state, row.source, row.deployment, row.model) == ("succeeded", "stale", deployment, MODEL)
    assert (row.text, row.data, row.error_code) == ("Hello ?", {"a": ["?", None, 1.5]}, "code")
    assert (row.error, row.explain, row.attempts) == ("words", [{"deployment": "d"}], 7)
    assert (row.latency, row.age, row.joined_id) == (timedelta(seconds=1.25), timedelta(days=2), joined)
    assert (row.finished_at, row.lease_expires_at) == (now + MINUTE, None)


def test_a_generation_ends_with_the_sums_of_all_its_attempts(agency: Tenant, now: datetime) -> None:
    create_budget(tenant_id=agency.pk, limit=Decimal(100), now=now)
    purpose = purpose_of(agency, now)
    first = begun(purpose, now)
    holds.settle(hold=first.hold, usage=None, now=now)
    second = begun(purpose, now, attempt=attempt(now, 2), lease_was=first.lease_expires_at)
    other = take(agency, 5, occurred_at=now)
    holds.settle(hold=other, usage=dollars(5), now=now)

    usage = Usage(input_tokens=4, output_tokens=2, cached_tokens=1)
    twice = replace(SUCCEEDED, attempts=2)
    ended = end(purpose, now, second.lease_expires_at, twice, Settlement(second.hold, usage))

    assert ended == Ended(4, 1, 2, Decimal(16))
    row = read(agency, purpose.generation_id)
    assert Ended(row.input_tokens, row.cached_tokens, row.output_tokens, row.cost) == ended
    assert [(entry.attempt, entry.estimated) for entry in entries(agency)] == [
        (1, True),
        (1, False),
        (2, False),
    ]
    assert counters(agency) == [(21, 0)]


@pytest.mark.parametrize(
    ("free", "cost", "state", "estimates"),
    [(False, 10, HoldState.SETTLED, [True]), (True, 0, HoldState.RELEASED, [])],
)
def test_an_attempt_of_unknown_usage_costs_its_bound_and_a_free_one_nothing(
    agency: Tenant, now: datetime, free: bool, cost: int, state: str, estimates: list[bool]
) -> None:
    purpose = purpose_of(agency, now)
    found = begun(purpose, now)

    ended = end(purpose, now, found.lease_expires_at, FAILED, Settlement(found.hold, None, is_free=free))

    assert ended.cost == cost
    assert hold_of(agency).state == state
    assert [entry.estimated for entry in entries(agency)] == estimates


def test_a_hit_and_a_joiner_are_recorded_and_cost_nothing(agency: Tenant, now: datetime) -> None:
    leader = uuid7()
    later, age = now + timedelta(milliseconds=2), timedelta(seconds=90)
    endings = [
        Ending(GenerationState.SUCCEEDED, Source.CACHE, model=MODEL, text="Hi", data=[1], age=age),
        Ending(GenerationState.SUCCEEDED, Source.PROVIDER, model=MODEL, text="Hi", joined_id=leader),
        Ending(GenerationState.FAILED, error_code="no_deployment", error="None.", explain=[{"why": "none"}]),
    ]
    purposes = [purpose_of(agency, now, campaign_id=leader) for _ in endings]

    for purpose, ending in zip(purposes, endings, strict=True):
        rows.record_generation(purpose=purpose, question=question(a=1), ending=ending, now=later)

    hit, joiner, failed = (read(agency, purpose.generation_id) for purpose in purposes)
    assert (hit.source, hit.age, hit.data, hit.joined_id) == ("cache", age, [1], None)
    assert (joiner.source, joiner.age, joiner.joined_id) == ("provider", None, leader)
    assert (failed.state, failed.error_code, failed.explain) == ("failed", "no_deployment", [{"why": "none"}])
    for row in (hit, joiner, failed):
        assert (row.created_at, row.started_at, row.finished_at) == (now, now, later)
        assert [row.cost, row.attempts, row.variables, row.campaign_id] == [0, 0, {"a": 1}, leader]


def test_an_id_is_recorded_once(agency: Tenant, now: datetime) -> None:
    purpose = purpose_of(agency, now)
    rows.record_generation(purpose=purpose, question=question(), ending=SUCCEEDED, now=now)

    with pytest.raises(ConflictError):
        rows.record_generation(purpose=purpose, question=question(), ending=SUCCEEDED, now=now + MINUTE)


def test_usage_above_the_bound_is_entered_and_logged(agency: Tenant, now: datetime) -> None:
    purpose = purpose_of(agency, now)
    found = begun(purpose, now)
    paid = Settlement(found.hold, dollars(11))

    with capture_logs() as logs:
        ended = end(purpose, now, found.lease_expires_at, SUCCEEDED, paid)

    assert ended.cost == 11
    assert [(line["event"], line["amount"]) for line in logs] == [("cost.above_bound", "11.0000000000")]
