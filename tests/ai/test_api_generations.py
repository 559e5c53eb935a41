"""Generations through the API."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.ai.models import Generation, PromptTemplate, TaskKind
from apps.common.ids import uuid7
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.ai.optimising import corrected
from tests.conftest import as_json
from tests.costs.spending import dollar_price

GENERATIONS = "/api/v2/generations"


def generation(*, tenant: Tenant, **fields: Any) -> Generation:
    defaults = {"task_kind": TaskKind.MESSAGE, "max_tokens": 100, "variables": {"fan": "Sam"}}
    with system_transaction():
        prompt = PromptTemplate.objects.filter(is_active=True)[0]
        return Generation.objects.create(tenant_id=tenant.pk, prompt=prompt, **{**defaults, **fields})


def answered(tenant: Tenant, **fields: Any) -> Generation:
    return generation(
        tenant=tenant,
        **{
            "state": "succeeded",
            "finished_at": timezone.now(),
            "source": "provider",
            "model": "gpt-3.5-turbo",
            "text": "Hello Sam",
            "input_tokens": 120,
            "output_tokens": 30,
            "cost": Decimal("0.000105"),
            "age": timedelta(),
            **fields,
        },
    )


def test_an_answer_comes_with_its_source_its_usage_and_its_cost(agency: Tenant, api: APIClient) -> None:
    row = answered(agency)
    body = as_json(api.get(f"{GENERATIONS}/{row.pk}"))
    assert (body["id"], body["state"], body["text"], body["data"]) == (
        str(row.pk), "succeeded", "Hello Sam", None,
    )  # fmt: skip
    assert (body["source"], body["age_s"], body["model"]) == ("provider", 0, "gpt-3.5-turbo")
    assert body["usage"] == {"input_tokens": 120, "cached_tokens": 0, "output_tokens": 30}
    assert body["cost"] == {"amount": "0.000105", "currency": "USD"}
    assert body["error"] is None


def test_what_it_has_cost_is_what_the_ledger_says_by_now(agency: Tenant, api: APIClient) -> None:
    """As long as it has its entries; afterwards, what it had cost when it ended."""
    dollar_price()
    past, row = answered(agency), answered(agency, cost=Decimal(10))
    corrected(row, agency, bound=10, used=4)

    listed = {each["id"]: each["cost"]["amount"] for each in as_json(api.get(GENERATIONS))["results"]}
    alone = {each: as_json(api.get(f"{GENERATIONS}/{each}"))["cost"]["amount"] for each in listed}

    assert listed == alone
    assert {each: Decimal(cost) for each, cost in alone.items()} == {
        str(row.pk): Decimal(4),
        str(past.pk): Decimal("0.000105"),
    }


def test_an_answer_says_for_which_account_campaign_and_user_it_was_asked(
    agency: Tenant, api: APIClient
) -> None:
    whom = {"account": uuid7(), "campaign": uuid7(), "user": uuid7()}
    row = answered(agency, **{f"{name}_id": each for name, each in whom.items()})
    alone, [listed] = as_json(api.get(f"{GENERATIONS}/{row.pk}")), as_json(api.get(GENERATIONS))["results"]
    for name, each in whom.items():
        assert (alone[name], listed[name]) == (str(each), str(each))


def test_a_structured_answer_is_in_data(agency: Tenant, api: APIClient) -> None:
    row = answered(agency, text="", data={"steps": ["greet"]})
    body = as_json(api.get(f"{GENERATIONS}/{row.pk}"))
    assert (body["text"], body["data"]) == (None, {"steps": ["greet"]})


def test_a_question_without_an_answer_yet_has_none(agency: Tenant, api: APIClient) -> None:
    body = as_json(api.get(f"{GENERATIONS}/{generation(tenant=agency).pk}"))
    assert (body["state"], body["text"], body["data"], body["source"]) == ("pending", None, None, None)
    assert (body["age_s"], body["finished_at"], body["error"]) == (None, None, None)


def test_a_failed_one_says_why(agency: Tenant, api: APIClient) -> None:
    row = generation(
        tenant=agency,
        state="failed",
        finished_at=timezone.now(),
        error_code="budget_exceeded",
        error="No money.",
    )
    body = as_json(api.get(f"{GENERATIONS}/{row.pk}"))
    assert body["error"] == {"code": "budget_exceeded", "message": "No money."}


def test_the_prompts_variables_are_not_shown(agency: Tenant, api: APIClient) -> None:
    row = generation(tenant=agency, variables={"secret": "of the fan"})
    assert b"of the fan" not in api.get(GENERATIONS).content + api.get(f"{GENERATIONS}/{row.pk}").content


def test_a_stranger_sees_none(agency: Tenant, stranger_api: APIClient) -> None:
    row = answered(agency)
    assert as_json(stranger_api.get(GENERATIONS))["results"] == []
    assert stranger_api.get(f"{GENERATIONS}/{row.pk}").status_code == 404


def test_an_analyst_reads_and_nobody_posts_here(
    agency: Tenant, analyst_api: APIClient, api: APIClient
) -> None:
    row = answered(agency)
    assert analyst_api.get(f"{GENERATIONS}/{row.pk}").status_code == 200
    response = api.post(GENERATIONS, {})
    assert (response.status_code, as_json(response)["error"]["code"]) == (405, "method_not_allowed")


def test_the_list_is_filtered(agency: Tenant, api: APIClient) -> None:
    campaign, account, user = uuid7(), uuid7(), uuid7()
    plan = generation(tenant=agency, task_kind=TaskKind.PLANNING, campaign_id=campaign)
    text = answered(agency, account_id=account, user_id=user)

    def found(query: str) -> list[Any]:
        return [row["id"] for row in as_json(api.get(GENERATIONS, QUERY_STRING=query))["results"]]

    assert found("") == [str(text.pk), str(plan.pk)]
    assert found("state=pending") == found("task=planning") == found(f"campaign={campaign}") == [str(plan.pk)]
    assert found("source=provider") == found(f"account={account}") == [str(text.pk)]
    assert found(f"user={user}") == [str(text.pk)]
    tomorrow = timezone.now() + timedelta(days=1)
    assert found(f"created_after={tomorrow:%Y-%m-%dT%H:%M:%SZ}") == []
    assert api.get(GENERATIONS, QUERY_STRING="task=poetry").status_code == 400


@pytest.mark.parametrize("number", [1, 12])
def test_listing_generations_costs_the_same_queries_for_any_number(
    number: int, agency: Tenant, api: APIClient, django_assert_num_queries: Any
) -> None:
    for _ in range(number):
        answered(agency)
    api.get(GENERATIONS)  # notes the key's use, once a minute
    # Two doors of four statements each, and the generations. Finding the key goes past Django's counting.
    with django_assert_num_queries(9):
        assert len(as_json(api.get(GENERATIONS))["results"]) == number
