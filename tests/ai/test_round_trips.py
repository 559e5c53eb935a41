"""How often one question goes to PostgreSQL and to Redis."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from apps.ai.deadlines import CRITICAL
from apps.ai.models import Source
from apps.ai.providers import departure
from apps.ai.services import configuration
from apps.ai.services.generations import answer_question
from apps.common import shared_redis
from apps.common.connections import give_back_connection
from apps.common.ids import uuid7
from apps.costs.models import BudgetScope
from apps.costs.services.budgets import create_budget
from apps.tenants.models import Tenant
from tests.ai.asking import answer, caption
from tests.conftest import Sandbox

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Whatever waits for an answer of a server, by the server, in the order of the calls of providers."""
    seen: Counter[str] = Counter()
    ask_postgres, ask_redis = psycopg.Connection.wait, shared_redis._send

    def postgres(self: Any, question: Any, *arguments: Any, **options: Any) -> Any:
        # What only sets something in the client waits for nobody.
        seen["postgres"] += not question.__name__.startswith("_set_")
        return ask_postgres(self, question, *arguments, **options)

    def redis(*arguments: Any) -> Any:
        seen["redis"] += 1
        return ask_redis(*arguments)

    monkeypatch.setattr(psycopg.Connection, "wait", postgres)
    monkeypatch.setattr(shared_redis, "_send", redis)
    monkeypatch.setattr(configuration, "FRESH", timedelta(minutes=1))
    monkeypatch.setattr(configuration, "_kept", configuration._Kept())
    return seen


@pytest.fixture
def ids(agency: Tenant) -> dict[str, Any]:
    """Whom a question is for, each with a budget, and one for the tenant."""
    found = {"account_id": uuid7(), "user_id": uuid7()}
    scopes = {
        BudgetScope.TENANT: None,
        BudgetScope.ACCOUNT: found["account_id"],
        BudgetScope.USER: found["user_id"],
    }
    for scope, scope_id in scopes.items():
        create_budget(
            tenant_id=agency.pk, limit=Decimal(100), now=timezone.now(), scope=scope, scope_id=scope_id
        )
    return found


def test_a_miss_is_two_round_trips_to_each_and_a_hit_is_one(
    agency: Tenant, ids: dict[str, Any], trips: Counter[str]
) -> None:
    answer(caption(agency, "Something that opens connections.", **ids))
    give_back_connection()
    trips.clear()

    missed = answer(caption(agency, **ids))
    on_miss = dict(trips)
    give_back_connection()
    trips.clear()
    hit = answer(caption(agency, **ids))

    assert (missed.source, hit.source) == (Source.PROVIDER, Source.CACHE)
    assert on_miss == {"postgres": 2, "redis": 2}
    assert dict(trips) == {"postgres": 1, "redis": 1}


def test_the_first_attempt_goes_out_after_one_round_trip_to_each(
    agency: Tenant, ids: dict[str, Any], trips: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(caption(agency, "Something that opens connections.", **ids))
    give_back_connection()
    trips.clear()
    before: list[dict[str, int]] = []
    needs = departure.needs

    def noting(leave: Callable[[], object]) -> Any:
        def note() -> None:
            leave()
            before.append(dict(trips))

        return needs(note)

    monkeypatch.setattr(departure, "needs", noting)
    answer(caption(agency, **ids))

    assert before == [{"postgres": 1, "redis": 1}]


def test_streams_and_fresh_questions_are_two_round_trips_to_each(
    agency: Tenant, ids: dict[str, Any], trips: Counter[str]
) -> None:
    answer(caption(agency, "Something that opens connections.", **ids))
    give_back_connection()
    trips.clear()
    pieces: list[str] = []

    streamed = answer_question(
        question=caption(agency, **ids), clock=timezone.now, deadlines=CRITICAL, emit=pieces.append
    )
    on_stream = dict(trips)
    give_back_connection()
    trips.clear()
    fresh = answer(caption(agency, fresh=True, **ids))

    assert streamed is not None
    assert "".join(pieces).strip() == streamed.text
    assert fresh.source == Source.PROVIDER
    assert on_stream == dict(trips) == {"postgres": 2, "redis": 2}


def test_a_further_attempt_adds_two_to_postgres_and_one_to_redis(
    agency: Tenant, ids: dict[str, Any], trips: Counter[str], ai_sandbox: Sandbox
) -> None:
    answer(caption(agency, "Something that opens connections.", **ids))
    give_back_connection()
    ai_sandbox.faults(rules=[{"error_rates": {"503": 1}, "count": 1}])
    trips.clear()

    assert answer(caption(agency, **ids)).attempts == 2

    assert dict(trips) == {"postgres": 4, "redis": 3}
