"""What tenants prefer, where a task could go to several models."""

from uuid import UUID

from apps.ai.models import RoutingPreference
from apps.ai.routing import Policy


def read_preferences() -> dict[UUID, Policy]:
    """The preferences that differ from balanced, by tenant: all that the caller's transaction may see."""
    rows = RoutingPreference.objects.exclude(preference=Policy.BALANCED)
    return {
        tenant_id: Policy(preference) for tenant_id, preference in rows.values_list("tenant_id", "preference")
    }
