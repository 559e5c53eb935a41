"""What tenants prefer, where a task could go to several models, and for how long its answers are kept."""

from dataclasses import dataclass
from uuid import UUID

from apps.ai.flights.ttl import TTLS, Ttl
from apps.ai.models import RoutingPreference, TaskPreference
from apps.ai.routing import Policy


@dataclass(frozen=True, slots=True)
class TaskWish:
    """A tenant's own words for one kind of task; None: as for every tenant."""

    first: UUID | None = None
    ttl: Ttl | None = None


def read_preferences() -> dict[UUID, Policy]:
    """The preferences that differ from balanced, by tenant: all that the caller's transaction may see."""
    rows = RoutingPreference.objects.exclude(preference=Policy.BALANCED)
    return {
        tenant_id: Policy(preference) for tenant_id, preference in rows.values_list("tenant_id", "preference")
    }


def read_task_preferences() -> dict[tuple[UUID, str], TaskWish]:
    """What is set for kinds of task, by tenant and kind: all that the caller's transaction may see."""
    rows = TaskPreference.objects.values_list("tenant_id", "task_kind", "deployment_id", "fresh", "stale")
    return {
        (tenant_id, kind): TaskWish(first, None if fresh is None or stale is None else Ttl(fresh, stale))
        for tenant_id, kind, first, fresh, stale in rows
    }


def ttls_of(wishes: dict[str, TaskWish]) -> dict[str, Ttl]:
    """For how long each kind of answer is kept for a tenant with these wishes."""
    own = {kind: wish.ttl for kind, wish in wishes.items() if wish.ttl is not None}
    return {**TTLS, **own}
