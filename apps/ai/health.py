"""Whether questions can be answered at this moment, and by whom. Open to all: no keys, addresses or reasons
in a provider's words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import psycopg
import structlog
from django.utils import timezone

from apps.ai.models import ModelClass
from apps.ai.providers import PROVIDERS
from apps.ai.services.breakers import breaker_statuses
from apps.ai.services.deployments import REFUSED
from apps.common.breaker.rules import State, Status
from apps.common.priority import Priority
from apps.operations.health import Recent, connect_database

log = structlog.get_logger(__name__)

# A sweep finds within seconds what has been lost: what waits for longer lacks a worker.
LATE = timedelta(seconds=60)
# More open questions than that are counted no further.
COUNTED_AT_MOST = 10_000
# An operator's wish, and so an obstacle but no problem.
SWITCHED_OFF = "disabled"

_DEPLOYMENTS = """
SELECT id, name, provider, model, model_class, enabled, disabled_reason <> '' AS was_refused,
       (SELECT finished_at FROM ai_generation
        WHERE deployment_id = deployment.id AND state = 'succeeded' AND source = 'provider'
        ORDER BY finished_at DESC LIMIT 1) AS last_success_at
FROM ai_deployment AS deployment
ORDER BY name
"""
# Ids grow with time, so the first one of each priority is its oldest.
_QUEUE = """
WITH counted AS (SELECT state FROM ai_generation WHERE state IN ('pending', 'running') LIMIT %(most)s)
SELECT (SELECT count(*) FROM counted WHERE state = 'pending'),
       (SELECT count(*) FROM counted WHERE state = 'running'),
       (SELECT min(oldest.created_at)
        FROM unnest(%(priorities)s::smallint[]) AS one (priority), LATERAL (
            SELECT created_at FROM ai_generation
            WHERE priority = one.priority AND state IN ('pending', 'running')
              AND (lease_expires_at IS NULL OR lease_expires_at <= %(now)s)
            ORDER BY id LIMIT 1
        ) AS oldest)
"""


class _Row(NamedTuple):
    """A deployment as the database has it."""

    id: UUID
    name: str
    provider: str
    model: str
    model_class: str
    enabled: bool
    was_refused: bool
    last_success_at: datetime | None


@dataclass(frozen=True, slots=True)
class DeploymentHealth:
    """`obstacle` says why no call may go there now; empty if one may.

    `held`: the state in which an operator holds the breaker, until somebody gives it back; None while it
    opens and closes by itself. Who holds it, and why, is for the admin: this is open to all.
    """

    name: str
    provider: str
    model: str
    model_class: str
    enabled: bool
    obstacle: str
    breaker: str
    held: str | None
    breaker_since: datetime | None
    probe_in: timedelta | None
    cool_down_left: timedelta | None
    last_success_at: datetime | None


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """The counts stop at COUNTED_AT_MOST questions in all."""

    pending: int
    running: int
    oldest_due_age: timedelta


@dataclass(frozen=True, slots=True)
class OrchestratorHealth:
    """`problems` says why it is degraded or down, in words."""

    status: str
    problems: tuple[str, ...]
    providers: Mapping[str, str]
    deployments: tuple[DeploymentHealth, ...]
    queue: QueueHealth | None


def check_orchestrator(*, now: datetime) -> OrchestratorHealth:
    """Ask the database, and the breakers where they are. Raises nothing."""
    missing = {name: provider.missing() for name, provider in PROVIDERS.items()}
    providers = {name: "not configured" if why else "configured" for name, why in missing.items()}
    try:
        rows, queue = _ask(now)
    except psycopg.Error as error:
        log.warning("health.down", dependency="database", error=f"{type(error).__name__}: {error}")
        return OrchestratorHealth("down", ("The database does not answer.",), providers, (), None)
    statuses = breaker_statuses([row.id for row in rows])
    deployments = tuple(_deployment(row, providers, statuses[row.id]) for row in rows)
    status, problems = judge(deployments, queue)
    return OrchestratorHealth(status, problems, providers, deployments, queue)


def judge(deployments: Sequence[DeploymentHealth], queue: QueueHealth) -> tuple[str, tuple[str, ...]]:
    """ok; degraded: somebody can't be called, or nobody works; down: no text can be had from anybody."""
    problems = [_problem(each) for each in deployments if each.obstacle not in ("", SWITCHED_OFF)]
    if queue.oldest_due_age > LATE:
        problems.append(f"A question has been waiting for {queue.oldest_due_age.total_seconds():.0f} s.")
    writers = [each for each in deployments if each.model_class != ModelClass.EMBEDDING]
    if all(each.obstacle for each in writers):
        return "down", ("No deployment that writes text can be called.", *problems)
    return "degraded" if problems else "ok", tuple(problems)


def _problem(deployment: DeploymentHealth) -> str:
    verb = "can't be called:" if deployment.enabled else "was"
    return f"{deployment.name} {verb} {deployment.obstacle}."


def _ask(now: datetime) -> tuple[list[_Row], QueueHealth]:
    """On a connection of its own: the pool's may all be taken."""
    parameters = {"now": now, "most": COUNTED_AT_MOST, "priorities": [each.value for each in Priority]}
    with connect_database() as database, database.transaction():
        database.execute("SET LOCAL ROLE huntaze_system")
        rows = [_Row(*row) for row in database.execute(_DEPLOYMENTS).fetchall()]
        found = database.execute(_QUEUE, parameters).fetchone()
    assert found is not None  # a SELECT without FROM
    pending, running, oldest_due = found
    waited = now - oldest_due if oldest_due else timedelta()
    return rows, QueueHealth(pending, running, max(waited, timedelta()))


def _deployment(row: _Row, providers: Mapping[str, str], breaker: Status) -> DeploymentHealth:
    return DeploymentHealth(
        name=row.name,
        provider=row.provider,
        model=row.model,
        model_class=row.model_class,
        enabled=row.enabled,
        obstacle=_obstacle(row, providers, breaker),
        breaker=str(breaker.state),
        held=None if breaker.forced is None else str(breaker.forced),
        breaker_since=breaker.since,
        probe_in=breaker.waits,
        cool_down_left=breaker.cool_down_left or None,
        last_success_at=row.last_success_at,
    )


def _obstacle(row: _Row, providers: Mapping[str, str], breaker: Status) -> str:
    if not row.enabled:
        return f"{SWITCHED_OFF}: {REFUSED}" if row.was_refused else SWITCHED_OFF
    if providers[row.provider] != "configured":
        return "its provider is not configured"
    if breaker.excluded is None:
        return ""
    if breaker.forced is State.OPEN:
        return "an operator holds its breaker open"
    return "its provider asked for a pause" if breaker.cool_down_left else f"its breaker is {breaker.state}"


recent_orchestrator_health = Recent(lambda: check_orchestrator(now=timezone.now()))
