"""Why a question has no answer, as the caller is told."""

from datetime import timedelta

from apps.ai.matrix import Refusal
from apps.ai.models import Generation
from apps.ai.services.watch import soonest
from apps.common.errors import ConflictError, DomainError, InvalidInputError, UnavailableError

# What asking the same again can't change.
_OF_THE_QUESTION = frozenset({"context_too_long", "content_filtered", "bad_request"})
_OF_THE_STATE = frozenset({"budget_exhausted", "no_price", "no_deployment", "campaign_over"})
_RETRY_AFTER = timedelta(seconds=5)


def may_pass(failed: Generation) -> bool:
    """Whether nobody could answer when it was asked, and the same might be answered another time: a 503."""
    return failed.error_code not in _OF_THE_QUESTION | _OF_THE_STATE


def refusal(failed: Generation) -> DomainError:
    """The error that a failed generation is to its caller."""
    if failed.error_code in _OF_THE_QUESTION:
        return InvalidInputError(failed.error, code=failed.error_code)
    if failed.error_code in _OF_THE_STATE:
        return ConflictError(failed.error, code=failed.error_code)
    wait = soonest() if failed.error_code == Refusal.CIRCUIT_OPEN else None
    return UnavailableError(
        failed.error, code=failed.error_code, retry_after=max(wait or _RETRY_AFTER, _RETRY_AFTER)
    )
