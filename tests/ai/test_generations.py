from decimal import Decimal

import pytest
from django.utils import timezone

from apps.ai.models import GenerationState
from apps.ai.services.generations import run_generation
from apps.costs.models import Hold, HoldState, LedgerEntry
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests.ai.asking import ask

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("deployments")]


@pytest.mark.parametrize(
    ("prompt", "deployment"),
    [("campaign_plan", "azure"), ("campaign_template", "openai"), ("fan_message", "openai")],
)
def test_a_generation_is_answered_by_the_preferred_provider_and_paid_for(
    agency: Tenant, prompt: str, deployment: str
) -> None:
    asked = ask(agency, prompt)

    done = run_generation(generation_id=asked.pk, clock=timezone.now)

    assert done is not None
    assert (done.state, done.error) == (GenerationState.SUCCEEDED, "")
    with tenant_transaction(agency):
        assert done.deployment is not None
        assert done.deployment.name == deployment
        entry = LedgerEntry.objects.get()
        hold = Hold.objects.get()
    assert hold.state == HoldState.SETTLED
    assert (entry.occurred_at, entry.estimated) == (done.created_at, False)
    assert entry.amount == done.cost
    assert Decimal(0) < entry.amount < hold.bound
    assert done.input_tokens == entry.input_tokens > 0
    assert done.attempts == 1
