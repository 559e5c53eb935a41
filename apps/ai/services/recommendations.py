"""What is done about a recommendation: applied, reverted, dismissed; in one transaction with its status."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from apps.ai.flights.ttl import TTLS
from apps.ai.models import Deployment, Recommendation, RecommendationKind, Status, TaskPreference
from apps.ai.services import configuration
from apps.ai.services.analyses import QUIET
from apps.ai.services.measurements import baseline_of, measured
from apps.common.errors import ConflictError, NotFoundError
from apps.tenants.doors import tenant_transaction

log = structlog.get_logger(__name__)

_DEPLOYMENT, _FRESH, _STALE = "deployment", "fresh_s", "stale_s"


class WrongStatusError(ConflictError):
    """The recommendation's status doesn't allow this."""

    code = "wrong_status"


class NotVerifiedError(ConflictError):
    """Nobody has seen yet whether the cheaper answers would do."""

    code = "not_verified"


class NothingToApplyError(ConflictError):
    """What it recommends is for people to do."""

    code = "nothing_to_apply"


class ChangedSinceError(ConflictError):
    """What it would change, or has changed, is something else by now."""

    code = "changed_since"


def locked(*, recommendation_id: UUID, tenant_id: UUID) -> Recommendation:
    """A tenant's recommendation, for the caller's transaction alone. Raises NotFoundError."""
    rows = Recommendation.objects.select_for_update().filter(pk=recommendation_id, tenant_id=tenant_id)
    row = rows.first()
    if row is None:
        raise NotFoundError("There is no such recommendation.")
    return row


def check_status(row: Recommendation, *allowed: Status, to: str) -> None:
    """Raises WrongStatusError."""
    if row.status not in allowed:
        named = " or ".join(str(each) for each in allowed)
        raise WrongStatusError(f"It is {row.status}; only what is {named} can be {to}.")


def apply_recommendation(
    *, recommendation_id: UUID, tenant_id: UUID, by: str, now: datetime
) -> Recommendation:
    """Set what it recommends for the tenant's kind of task, and keep what that was before.

    Raises NotFoundError, NothingToApplyError, NotVerifiedError, WrongStatusError, ChangedSinceError.
    """
    with tenant_transaction(tenant_id):
        row = locked(recommendation_id=recommendation_id, tenant_id=tenant_id)
        _check_applicable(row)
        preference = _preference(row)
        before = _snapshot(preference, row)
        _check_still_better(row, before)
        _write(preference, _change(row))
        row.before, row.after = before, row.change
        row.baseline_calls, row.baseline_cost, row.baseline_since = baseline_of(row, now=now)
        row.status, row.applied_at, row.applied_by, row.remark = Status.APPLIED, now, by, ""
        row.save()
    log.info("recommendation.applied", recommendation_id=str(row.pk), tenant_id=str(tenant_id), by=by)
    return row


def revert_recommendation(
    *, recommendation_id: UUID, tenant_id: UUID, by: str, now: datetime
) -> Recommendation:
    """Set again what was set before it was applied, and measure what it has saved until now.

    Raises NotFoundError, WrongStatusError, and ChangedSinceError if somebody has set something else since.
    """
    with tenant_transaction(tenant_id):
        row = locked(recommendation_id=recommendation_id, tenant_id=tenant_id)
        check_status(row, Status.APPLIED, to="reverted")
        preference = _preference(row)
        present = _snapshot(preference, row)
        if present != row.after:
            raise ChangedSinceError(
                f"Somebody has changed it since: it is {_said(present)} now, and this had set "
                f"{_said(row.after)}. Revert or change that first."
            )
        _write(preference, row.before or {})
        for name, value in measured(row, now=now).items():
            setattr(row, name, value)
        row.status, row.reverted_at, row.quiet_until = Status.REVERTED, now, now + QUIET
        row.remark = f"Reverted by {by}." if by else ""
        row.save()
    log.info("recommendation.reverted", recommendation_id=str(row.pk), tenant_id=str(tenant_id), by=by)
    return row


def dismiss_recommendation(
    *, recommendation_id: UUID, tenant_id: UUID, by: str, now: datetime
) -> Recommendation:
    """Don't recommend it for a month. Raises NotFoundError, WrongStatusError."""
    with tenant_transaction(tenant_id):
        row = locked(recommendation_id=recommendation_id, tenant_id=tenant_id)
        check_status(row, Status.OPEN, Status.VERIFIED, Status.REJECTED, to="dismissed")
        row.status, row.quiet_until = Status.DISMISSED, now + QUIET
        row.remark = f"Dismissed by {by}." if by else ""
        row.save(update_fields=["status", "quiet_until", "remark"])
    return row


def _check_applicable(row: Recommendation) -> None:
    if row.change is None:
        raise NothingToApplyError("This is for people to change: there is nothing that could be set here.")
    if row.kind == RecommendationKind.DEAR_MODEL and row.status == Status.OPEN:
        raise NotVerifiedError(
            "Nobody has seen yet whether the cheaper answers would do: verify it first, with a replay."
        )
    check_status(row, Status.OPEN, Status.VERIFIED, to="applied")


def _change(row: Recommendation) -> dict[str, Any]:
    assert row.change is not None  # what has none isn't applied
    change: dict[str, Any] = row.change
    return change


def _preference(row: Recommendation) -> TaskPreference:
    """The tenant's row for this kind of task, locked; made where there is none.

    Locked by the very statement that looks for it: a revert may be removing it.
    """
    rows = TaskPreference.objects.select_for_update()
    return rows.get_or_create(tenant_id=row.tenant_id, task_kind=row.task_kind)[0]


def _snapshot(preference: TaskPreference, row: Recommendation) -> dict[str, Any]:
    """What is set of that which the recommendation is about."""
    if _DEPLOYMENT in _change(row):
        return {_DEPLOYMENT: None if preference.deployment_id is None else str(preference.deployment_id)}
    return {_FRESH: _seconds(preference.fresh), _STALE: _seconds(preference.stale)}


def _write(preference: TaskPreference, values: dict[str, Any]) -> None:
    """A row that says nothing any more goes: every tenant's settings hold again.

    A deployment that is gone is none, as it would be if it had been set all the time.
    """
    if _DEPLOYMENT in values:
        preference.deployment = Deployment.objects.filter(pk=values[_DEPLOYMENT]).first()
    else:
        preference.fresh, preference.stale = _time(values[_FRESH]), _time(values[_STALE])
    if preference.deployment_id is None and preference.fresh is None:
        preference.delete()
    else:
        preference.save()


def _check_still_better(row: Recommendation, present: dict[str, Any]) -> None:
    """What was set or disabled since the analysis may have made it pointless, or worse."""
    config, change = configuration.current(), _change(row)
    if _DEPLOYMENT in change:
        target = UUID(change[_DEPLOYMENT])
        candidate = config.deployment(target)
        why = "gone" if candidate is None else config.exclusions.get(target, "")
        if not why and config.prices.get(target) is None:
            why = "without a price"
        if why:
            raise ChangedSinceError(f"The deployment that it recommends is {why} now. Analyse again.")
        if present[_DEPLOYMENT] == change[_DEPLOYMENT]:
            raise ChangedSinceError("That deployment is set for this kind of task already. Analyse again.")
        return
    usual = TTLS[row.task_kind].fresh.total_seconds()
    in_force = usual if present[_FRESH] is None else present[_FRESH]
    if in_force >= change[_FRESH]:
        raise ChangedSinceError(f"Answers are kept for {in_force:g} s already. Analyse again.")


def _seconds(time: timedelta | None) -> float | int | None:
    if time is None:
        return None
    seconds = time.total_seconds()
    return int(seconds) if seconds == int(seconds) else seconds


def _time(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _said(values: dict[str, Any] | None) -> str:
    return ", ".join(
        f"{name} {'not set' if value is None else value}" for name, value in (values or {}).items()
    )
