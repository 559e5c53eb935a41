"""What a call to a provider comes to, in terms that no provider owns."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from apps.costs.pricing import Usage

# What the column for a completion's `model` holds.
LONGEST_NAME = 100


class FailureKind(StrEnum):
    RATE_LIMITED = "rate_limited"
    TIMEOUT = "timeout"
    SERVER_ERROR = "server_error"
    CONNECTION = "connection"
    AUTH = "auth"
    FORBIDDEN = "forbidden"
    CONTEXT_TOO_LONG = "context_too_long"
    CONTENT_FILTERED = "content_filtered"
    MALFORMED = "malformed"
    UNSUPPORTED_FORMAT = "unsupported_format"
    BAD_REQUEST = "bad_request"


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streamed answer, never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer; `usage` is None where the provider didn't say it. `vectors` are those of an embedding."""

    text: str
    usage: Usage | None
    model: str
    finish_reason: str
    vectors: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer. `maybe_billed`: the provider may have worked on it, and nobody knows for how much.

    `partial` is what had come of a streamed answer by then.
    """

    kind: FailureKind
    message: str
    retry_after: timedelta | None = None
    maybe_billed: bool = False
    usage: Usage | None = None
    partial: str = ""


Outcome = Completion | Failure
