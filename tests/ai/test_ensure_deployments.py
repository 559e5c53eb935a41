from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from apps.ai.models import Deployment, PromptTemplate
from apps.ai.services.prompts import activate_prompt, active_prompt
from apps.costs.models import Price
from apps.tenants.system import system_transaction
from tests import factories

pytestmark = pytest.mark.django_db


def ensure() -> tuple[str, str]:
    said, warned = StringIO(), StringIO()
    call_command("ensure_deployments", stdout=said, stderr=warned)
    return said.getvalue(), warned.getvalue()


def rows() -> list[tuple[str, ...]]:
    fields = ("name", "provider", "model", "azure_deployment", "model_class")
    with system_transaction():
        return list(Deployment.objects.values_list(*fields))


def test_the_configured_deployments_are_entered_once(settings: Any) -> None:
    settings.AZURE_OPENAI_DEPLOYMENT = "our-big-one"

    first, second = ensure(), ensure()

    assert rows() == [
        ("azure", "azure", "gpt-4o", "our-big-one", "advanced"),
        ("openai", "openai", "gpt-3.5-turbo", "", "standard"),
    ]
    number, words = first[0].split(" ", 1)
    assert (int(number) > 100, words, first[1]) == (True, "prices entered.\n", "")
    assert second == ("0 prices entered.\n", "")


def test_a_deployment_called_like_a_known_model_is_taken_for_it(settings: Any) -> None:
    settings.AZURE_OPENAI_DEPLOYMENT = "gpt-4-turbo"

    ensure()

    assert rows()[0][2] == "gpt-4-turbo"


def test_a_deployment_of_a_dated_or_fine_tuned_model_is_priced_like_it(settings: Any) -> None:
    settings.OPENAI_MODEL = "ft:gpt-3.5-turbo-0125:agency::8f2a"
    settings.AZURE_OPENAI_DEPLOYMENT = "gpt-4o-2024-08-06"

    _said, warned = ensure()

    assert warned == ""
    with system_transaction():
        tuned = Price.objects.get(provider="openai", model="ft:gpt-3.5-turbo-0125:agency::8f2a")
        dated = Price.objects.get(provider="azure", model="gpt-4o-2024-08-06")
    assert (tuned.input_per_million, tuned.output_per_million) == (Decimal(3), Decimal(6))
    assert (dated.input_per_million, dated.output_per_million) == (Decimal("2.5"), Decimal(10))


def test_an_operators_own_deployments_are_left_alone() -> None:
    factories.deployment(name="mine")
    factories.price()

    ensure()

    assert [row[0] for row in rows()] == ["mine"]
    with system_transaction():
        assert Price.objects.filter(provider="openai", model="gpt-3.5-turbo").count() == 1


def test_a_model_that_no_list_knows_asks_for_its_price(settings: Any) -> None:
    settings.OPENAI_MODEL = "gpt-from-tomorrow"

    _said, warned = ensure()

    assert "gpt-from-tomorrow" in warned
    assert "price" in warned


def test_activating_a_version_ends_the_one_before() -> None:
    with system_transaction():
        old = active_prompt(key="fan_message")
        new = PromptTemplate.objects.create(key=old.key, version=2, task_kind=old.task_kind, body="Hello.")
        activate_prompt(prompt=new)

        assert active_prompt(key=old.key) == new
        assert not PromptTemplate.objects.get(pk=old.pk).is_active
