"""GET /api/metrics/orchestrator: a tenant's last hour, in figures."""

from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.ai import queries
from apps.ai.models import Deployment, Generation
from apps.common.ids import first_id_of, uuid7
from apps.costs.models import LedgerEntry, Price
from apps.operations import health
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.ai.asking import ask
from tests.ai.breakers import fail
from tests.conftest import as_json

PATH = "/api/metrics/orchestrator"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments", "anew")]


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Health as of this moment, whatever the test before was told."""
    monkeypatch.setattr(health, "FRESH", timedelta(0))


def end(
    tenant: Tenant, *, seconds: float = 1, source: str = "provider", state: str = "succeeded", **fields: str
) -> Generation:
    row = ask(tenant)
    with system_transaction():
        Generation.objects.filter(pk=row.pk).update(
            state=state,
            source=source,
            latency=timedelta(seconds=seconds),
            finished_at=timezone.now(),
            **fields,
        )
    return row


def spend(tenant: Tenant, amount: str, *, at: datetime | None = None) -> None:
    with system_transaction():
        LedgerEntry.objects.create(
            tenant_id=tenant.pk,
            provider="openai",
            model="gpt-3.5-turbo",
            task_kind="message",
            occurred_at=at or timezone.now(),
            generation_id=uuid7(),
            attempt=1,
            price=Price.objects.all()[0],
            input_tokens=1,
            output_tokens=1,
            amount=Decimal(amount),
        )


def test_questions_answers_latency_hits_and_cost(agency: Tenant, api: APIClient) -> None:
    for seconds in (1, 2, 3):
        end(agency, seconds=seconds)
    end(agency, seconds=0.002, source="cache")
    end(agency, seconds=20, source="", state="failed")
    ask(agency)
    spend(agency, "0.0123")
    answer = as_json(api.get(PATH))
    assert answer["generations"] == {"pending": 1, "running": 0, "succeeded": 4, "failed": 1}
    assert answer["answers"] == {"provider": 3, "cache": 1, "stale": 0, "template": 0}
    # Interpolated between those in the middle; the failed one isn't among them.
    assert answer["latency_s"] == {"p50": 1.5, "p95": 2.85}
    assert answer["cache_hit_ratio"] == 0.25
    assert answer["cost_this_month"] == {"amount": "0.0123", "currency": "USD"}


def test_a_tenant_who_asked_nothing_has_no_ratio_and_no_latency(api: APIClient) -> None:
    answer = as_json(api.get(PATH))
    assert (answer["cache_hit_ratio"], answer["latency_s"]) == (None, {"p50": None, "p95": None})
    assert answer["cost_this_month"]["amount"] == "0.00"
    assert sum(answer["generations"].values()) == sum(answer["answers"].values()) == 0


def test_questions_of_more_than_an_hour_ago_are_left_out(agency: Tenant) -> None:
    row, now = end(agency), timezone.now()
    old = first_id_of(now - timedelta(hours=1, seconds=1))
    with system_transaction():
        Generation.objects.filter(pk=row.pk).update(id=old)
    with tenant_transaction(agency):
        assert queries.figures(tenant_id=agency.pk, since=now - timedelta(hours=1)).by_state["succeeded"] == 0
        assert queries.figures(tenant_id=agency.pk, since=now - timedelta(hours=2)).by_state["succeeded"] == 1


def test_the_month_begins_by_the_tenants_own_clock(agency: Tenant, api: APIClient) -> None:
    # 12 or 13 hours ahead of UTC, where both are of the same month.
    there = ZoneInfo("Pacific/Auckland")
    with system_transaction():
        Tenant.objects.filter(pk=agency.pk).update(time_zone=str(there))
    start = timezone.now().astimezone(there).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    spend(agency, "1", at=start)
    spend(agency, "2", at=start - timedelta(seconds=1))
    assert as_json(api.get(PATH))["cost_this_month"]["amount"] == "1.00"


def test_replays_are_nobodys_questions(agency: Tenant, api: APIClient) -> None:
    end(agency, source="cache")
    end(agency, seconds=90, task_kind="replay")
    end(agency, source="", state="failed", task_kind="replay")

    answer = as_json(api.get(PATH))

    assert answer["generations"] == {"pending": 0, "running": 0, "succeeded": 1, "failed": 0}
    assert (answer["cache_hit_ratio"], answer["latency_s"]["p95"]) == (1, 1)


def test_another_tenants_figures_are_nobody_elses(
    agency: Tenant, api: APIClient, stranger_api: APIClient
) -> None:
    end(agency)
    spend(agency, "5")
    answer = as_json(stranger_api.get(PATH))
    assert sum(answer["generations"].values()) == 0
    assert answer["cost_this_month"]["amount"] == "0.00"


def test_it_needs_a_key_and_any_role_may_read_it(analyst_api: APIClient) -> None:
    assert APIClient().get(PATH).status_code == 401
    assert analyst_api.get(PATH).status_code == 200


def test_breakers_are_among_the_figures(api: APIClient) -> None:
    fail(Deployment.objects.get(name="azure"))
    found = {each["name"]: each for each in as_json(api.get(PATH))["deployments"]}
    assert found["azure"] == {"name": "azure", "breaker": "open", "obstacle": "its breaker is open"}
    assert found["openai"]["breaker"] == "closed"
