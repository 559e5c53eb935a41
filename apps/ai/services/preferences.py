"""What tenants prefer, where a task could go to several models, and for how long its answers are kept."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from django.db import connection

from apps.ai.flights.ttl import TTLS, Ttl
from apps.ai.models import RoutingPreference, TaskPreference
from apps.ai.routing import Policy

Found = TypeVar("Found")

# Any change gives a row another xmin, and so the table another stamp: the database looks at each row, and
# sends none of them.
_STAMP = "SELECT count(*), sum(hashtextextended(id::text || ' ' || xmin::text, 0)) FROM {table}"


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


class Unchanged(Generic[Found]):
    """What was read of a table, kept for as long as the same rows are in it."""

    def __init__(self, model: type[RoutingPreference | TaskPreference], read: Callable[[], Found]) -> None:
        self._table, self._read = model._meta.db_table, read
        self._kept: tuple[object, Found] | None = None

    def get(self) -> Found:
        """In the caller's transaction, always of the same door: what may be seen is part of what is kept."""
        with connection.cursor() as cursor:
            cursor.execute(_STAMP.format(table=self._table))
            stamp = cursor.fetchone()
        kept = self._kept
        if kept is None or kept[0] != stamp:
            # The stamp is the older of both: what has changed in between is read again the next time.
            kept = self._kept = (stamp, self._read())
        return kept[1]


def ttls_of(wishes: dict[str, TaskWish]) -> dict[str, Ttl]:
    """For how long each kind of answer is kept for a tenant with these wishes."""
    own = {kind: wish.ttl for kind, wish in wishes.items() if wish.ttl is not None}
    return {**TTLS, **own}
