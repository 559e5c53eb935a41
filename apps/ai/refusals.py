"""Why a question has no answer, as the caller is told."""

from datetime import UTC, timedelta

from apps.ai import explained
from apps.ai.models import Generation
from apps.ai.services.watch import soonest
from apps.common.errors import ConflictError, DomainError, InvalidInputError, UnavailableError
from apps.costs.periods import period_bounds, period_start

# What asking the same again can't change.
_OF_THE_QUESTION = frozenset({"context_too_long", "content_filtered", "bad_request"})
_OF_THE_STATE = frozenset({"budget_exhausted", "no_price", "no_deployment", "campaign_over"})
_RETRY_AFTER = timedelta(seconds=5)


def may_pass(failed: Generation) -> bool:
    """Whether nobody could answer when it was asked, and the same might be answered another time: a 503."""
    return failed.error_code not in _OF_THE_QUESTION | _OF_THE_STATE


def refusal(failed: Generation, *, time_zone: str) -> DomainError:
    """The error that a failed generation is to its caller; `time_zone`: of the tenant's calendar."""
    if failed.error_code in _OF_THE_QUESTION:
        return InvalidInputError(failed.error, code=failed.error_code)
    if failed.error_code in _OF_THE_STATE:
        return ConflictError(failed.error, code=failed.error_code, fields=_ceiling(failed, time_zone))
    names = explained.recovering(failed.explain)
    wait = soonest(names) if names else None
    return UnavailableError(
        failed.error,
        code=failed.error_code,
        fields=_ceiling(failed, time_zone),
        retry_after=max(wait or _RETRY_AFTER, _RETRY_AFTER),
    )


def _ceiling(failed: Generation, time_zone: str) -> dict[str, str]:
    """For programs, the last budget that was in the way, and when its period ends; nothing if none was."""
    met = [
        each["budget"]
        for each in failed.explain
        if each.get("outcome") == failed.error_code and "budget" in each
    ]
    if not met:
        return {}
    start = period_start(met[-1]["period"], at=failed.created_at, time_zone=time_zone)
    _, end = period_bounds(met[-1]["period"], start=start, time_zone=time_zone)
    return {**met[-1], "period_end": end.astimezone(UTC).isoformat().replace("+00:00", "Z")}
