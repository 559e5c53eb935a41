"""Generations as tests ask for them."""

from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.ai.deadlines import CRITICAL, Deadlines
from apps.ai.models import Generation
from apps.ai.services.generations import answer_question, make_question, request_generation
from apps.ai.services.questions import Question
from apps.ai.services.rows import Ending
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from tests.conftest import Sandbox
from tests.http_client import http

CAMPAIGN = {
    "name": "Summer",
    "type": "mass message",
    "brief": "A new set of photographs from the lake, out on Friday.",
    "tone": "warm",
    "price": "12.00",
}
VARIABLES: dict[str, dict[str, Any]] = {
    "campaign_plan": {"campaign": CAMPAIGN},
    "campaign_template": {
        "campaign": CAMPAIGN,
        "plan": {"summary": "Show the lake", "steps": ["greet", "offer"]},
        "account": {"name": "Mia"},
    },
    "fan_message": {
        "campaign": CAMPAIGN,
        "plan": {"summary": "Show the lake", "steps": ["greet", "offer"]},
        "account": {"name": "Mia"},
        "fan": {"name": "Grace", "attributes": {"city": "Lyon"}},
    },
}


def ask(tenant: Tenant, prompt: str = "campaign_template", **fields: Any) -> Generation:
    """A pending generation, committed."""
    variables = fields.pop("variables", VARIABLES.get(prompt))
    with tenant_transaction(tenant):
        return request_generation(tenant_id=tenant.pk, prompt_key=prompt, variables=variables, **fields)


def read(tenant: Tenant, generation_id: UUID) -> Generation:
    with tenant_transaction(tenant):
        return Generation.objects.select_related("deployment").get(pk=generation_id)


def caption(tenant: Tenant, text: str = "A lake at dusk.", **fields: Any) -> Question:
    """A question without a row, as the API makes it."""
    return make_question(
        tenant_id=tenant.pk,
        prompt_key="assistant_caption",
        variables={"input": text, "variables": {}},
        now=timezone.now(),
        **fields,
    )


def answer(question: Question, *, deadlines: Deadlines = CRITICAL) -> Ending:
    """Have it answered at once."""
    ending = answer_question(question=question, clock=timezone.now, deadlines=deadlines)
    assert ending is not None
    return ending


def calls_of(sandbox: Sandbox) -> int:
    """How many requests the providers have seen, answered or not."""
    usage = http.get(f"{sandbox.url}/usage").json()
    return sum(model["requests"] for models in usage.values() for model in models.values())
