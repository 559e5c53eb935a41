"""The deployments' breakers, and the history of their changes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from uuid import UUID

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError

from apps.ai.models import BreakerChange, Deployment
from apps.common.breaker.breakers import Breakers
from apps.common.breaker.rules import Change, Settings, State, Status
from apps.common.errors import ConflictError, UnavailableError
from apps.common.shared_redis import PAUSE_S, RedisAwayError, shared_redis
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

PREFIX = "huntaze:breaker:ai"


class SharedStateAwayError(UnavailableError):
    """Redis is away, and what is to hold for all processes can't be told to them."""

    code = "shared_state_away"


def breakers() -> Breakers:
    """This process's view of the deployments' breakers; a deployment's id is the name of its breaker."""
    return _breakers(settings.REDIS_URL, settings.BREAKER_RECOVERY, settings.BREAKER_WINDOW)


def breaker_statuses(deployment_ids: Iterable[UUID]) -> dict[UUID, Status]:
    """In one round trip to Redis, whose absence costs its time-out at most."""
    found = breakers().statuses_of([str(each) for each in deployment_ids])
    return {UUID(name): status for name, status in found.items()}


def note_changes(changes: Sequence[Change]) -> None:
    """Log what the breakers have changed, and add it to their history: a row each.

    A database that is away loses the rows: no call is worth failing for them.
    """
    for change in changes:
        _log(change)
    if not changes:
        return
    try:
        _add(changes)
    except (OperationalError, InterfaceError) as error:
        log.warning("breaker.changes_not_kept", changes=len(changes), error=str(error))


def force_breaker(*, deployment: Deployment, state: State | None, by: UUID, reason: str) -> None:
    """Hold a deployment's breaker open or closed, or give it back to itself (None), in every process.

    Raises ConflictError if it is so already, SharedStateAwayError if Redis can't be reached.
    """
    try:
        changes = breakers().force(str(deployment.pk), state)
    except RedisAwayError as error:
        raise SharedStateAwayError(
            "Redis can't be reached, so the other processes would not know. Try again when it is back.",
            retry_after=timedelta(seconds=PAUSE_S),
        ) from error
    if not changes:
        held = f"held {state.words} by hand" if state else "automatic"
        raise ConflictError(f"The breaker is {held} already.")
    # What comes before it had happened by itself, and was noticed only now.
    note_changes(changes[:-1])
    (forced,) = changes[-1:]
    _log(forced, by=by)
    _add([replace(forced, reason=f"{forced.reason}: {reason}") if reason else forced], by=by)


def forget_breakers(deployment_ids: Iterable[UUID]) -> None:
    """Of deployments that are no more. Where Redis is away they stay, and take up a little room."""
    names = [str(each) for each in deployment_ids]
    try:
        breakers().forget(names)
    except RedisAwayError as error:
        log.warning("breaker.not_forgotten", services=names, error=str(error))


def _add(changes: Sequence[Change], *, by: UUID | None = None) -> None:
    with system_transaction():
        # Locked, lest one is deleted before its change is added.
        named = Deployment.objects.filter(pk__in={change.name for change in changes})
        known = set(named.select_for_update(no_key=True).values_list("pk", flat=True))
        BreakerChange.objects.bulk_create(
            BreakerChange(
                deployment_id=UUID(change.name),
                before=change.before,
                after=change.after,
                reason=change.reason,
                by=by,
                created_at=change.at,
            )
            for change in changes
            if UUID(change.name) in known
        )


def _log(change: Change, by: UUID | None = None) -> None:
    say = log.warning if change.after is State.OPEN else log.info
    say(
        "breaker.changed",
        service=change.name,
        before=change.before.value,
        after=change.after.value,
        reason=change.reason,
        by=str(by) if by else None,
    )


@cache
def _breakers(url: str, recovery: timedelta, window: timedelta) -> Breakers:
    return Breakers(shared_redis(url), prefix=PREFIX, settings=Settings(recovery=recovery, window=window))
