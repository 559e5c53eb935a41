"""What operators have set, as a process sees it: read together, and kept for a second.

So a generation asks the database for none of it, and a change counts a second later everywhere.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from apps.ai.flights.ttl import TTLS, Ttl
from apps.ai.models import PromptTemplate, RoutingPreference, TaskPreference
from apps.ai.providers import PROVIDERS
from apps.ai.routing import Candidate, Policy
from apps.ai.services import deployments
from apps.ai.services.preferences import TaskWish, Unchanged, read_preferences, read_task_preferences
from apps.costs.models import Price
from apps.flags.rollout import Flags
from apps.flags.services import read_flags
from apps.tenants.system import system_transaction

FRESH = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Configuration:
    """`exclusions` says which deployments can't be called, and why; `prices` are those in force."""

    deployments: tuple[Candidate, ...]
    exclusions: Mapping[UUID, str]
    prices: Mapping[UUID, Price | None]
    prompts: Mapping[str, PromptTemplate]
    preferences: Mapping[UUID, Policy]
    tasks: Mapping[tuple[UUID, str], TaskWish]
    flags: Flags

    def deployment(self, deployment_id: UUID | None) -> Candidate | None:
        return next((each for each in self.deployments if each.id == deployment_id), None)

    def policy(self, tenant_id: UUID) -> Policy:
        return self.preferences.get(tenant_id, Policy.BALANCED)

    def first(self, tenant_id: UUID, task_kind: str) -> UUID | None:
        """The deployment that the tenant prefers for this kind of task."""
        wish = self.tasks.get((tenant_id, task_kind))
        return wish.first if wish else None

    def ttl(self, tenant_id: UUID, task_kind: str) -> Ttl:
        """For how long this kind of answer is kept for the tenant."""
        wish = self.tasks.get((tenant_id, task_kind))
        return wish.ttl if wish and wish.ttl else TTLS[task_kind]


class _Kept:
    """The last one read. One thread reads at a time; the others go on with what there is."""

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._found: Configuration | None = None
        self._read_at = 0.0

    def get(self) -> Configuration:
        found = self._found
        if found is not None and time.monotonic() - self._read_at < FRESH.total_seconds():
            return found
        waits = found is None or not FRESH
        if waits and connection.connection is not None:
            # Who waits with a connection of the pool's may be keeping it from the one who reads.
            return self._read()
        if not self._reading.acquire(blocking=waits):
            assert found is not None  # without one we wait
            return found
        try:
            return self._read()
        finally:
            self._reading.release()

    def _read(self) -> Configuration:
        begun = time.monotonic()
        if self._found is not None and begun - self._read_at < FRESH.total_seconds():
            return self._found  # by whom we waited for
        try:
            self._found, self._read_at = _read(timezone.now()), begun
        except (OperationalError, InterfaceError):
            # What holds money will fail of the same database, and say so, if it is still away by then.
            if self._found is None:
                raise
        return self._found


_kept = _Kept()
# Of all tenants, so there may be many, and they seldom change.
_preferences = Unchanged(RoutingPreference, read_preferences)
_task_preferences = Unchanged(TaskPreference, read_task_preferences)


def current() -> Configuration:
    """As it was at most a second ago; older only while the database is away."""
    return _kept.get()


def _read(now: datetime) -> Configuration:
    with system_transaction():
        candidates, exclusions = deployments.candidates()
        priced = Price.objects.filter(model__in={each.model for each in candidates}).all_in_force(at=now)
        by_name = {(price.provider, price.model): price for price in priced}
        prompts = {each.key: each for each in PromptTemplate.objects.filter(is_active=True)}
        missing = {each.id: why for each in candidates if (why := PROVIDERS[each.provider].missing())}
        return Configuration(
            deployments=tuple(candidates),
            exclusions={**missing, **exclusions},
            prices={each.id: by_name.get((each.provider, each.model)) for each in candidates},
            prompts=prompts,
            preferences=_preferences.get(),
            tasks=_task_preferences.get(),
            flags=read_flags(),
        )
