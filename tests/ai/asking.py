"""Generations as tests ask for them."""

from typing import Any
from uuid import UUID

from apps.ai.models import Generation
from apps.ai.services.generations import request_generation
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant

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
