"""What is done about each kind of failure, as data. Pure. docs/orchestrator.md and the admin show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from apps.ai.providers.outcomes import FailureKind


class Action(StrEnum):
    RETRY_HERE = "retry_here"
    OTHER_DEPLOYMENT = "other_deployment"
    SHORTEN = "shorten"
    REPAIR = "repair"
    PLAIN_JSON = "plain_json"
    STOP = "stop"


class Refusal(StrEnum):
    """What else keeps an attempt from an answer: our own refusals, and answers that are of no use."""

    UNUSABLE_ANSWER = "unusable_answer"
    BUDGET_EXHAUSTED = "budget_exhausted"
    BUDGET_BUSY = "budget_busy"
    NO_PRICE = "no_price"
    CIRCUIT_OPEN = "circuit_open"


class Where(StrEnum):
    """Which of the deployments that weren't asked yet come into question."""

    NEXT = "the next one"
    OTHER_PROVIDER_FIRST = "another provider's first"
    OTHER_PROVIDER = "another provider's"
    LARGER_CONTEXT = "with a larger context"
    CHEAPER = "cheaper"


class Counts(StrEnum):
    """What the breaker is told of an attempt."""

    SUCCESS = "success"
    FAILURE = "failure"
    SHORT_TIMEOUT = "short_timeout"
    NEUTRAL = "neutral"
    COOL_DOWN = "cool_down"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Step:
    """`most`: how often, None for as often as attempts and deadline allow. `where`: for other deployments.

    `unless_awaited`: only for a question that nobody waits for.
    """

    action: Action
    most: int | None = None
    where: Where = Where.NEXT
    unless_awaited: bool = False

    def __str__(self) -> str:
        words = str(self.action).replace("_", " ")
        if self.action is Action.OTHER_DEPLOYMENT and self.where is not Where.NEXT:
            words += f", {self.where}"
        if self.unless_awaited:
            words += ", if nobody waits"
        return f"{words}, once" if self.most == 1 else words


@dataclass(frozen=True, slots=True)
class Row:
    """`inherent`: the request itself is at fault, so whoever joined it gets the same error.

    `disables`: the deployment is disabled, and people are alerted. `passes`: it opens breakers, or comes of
    open ones, so the same question may be answered there once the breaker lets it through.
    """

    steps: tuple[Step, ...]
    counts: Counts
    why: str
    inherent: bool = False
    disables: bool = False
    passes: bool = False

    @property
    def where(self) -> Where:
        """Which other deployments come into question."""
        return next((each.where for each in self.steps if each.action is Action.OTHER_DEPLOYMENT), Where.NEXT)


_RETRY = Step(Action.RETRY_HERE)
_RETRY_ONCE = Step(Action.RETRY_HERE, most=1)
_STOP = Step(Action.STOP)
_ELSEWHERE = Step(Action.OTHER_DEPLOYMENT)
_OTHER_FIRST = Step(Action.OTHER_DEPLOYMENT, where=Where.OTHER_PROVIDER_FIRST)
_CHEAPER = Step(Action.OTHER_DEPLOYMENT, where=Where.CHEAPER)

MATRIX: Mapping[str, Row] = {
    FailureKind.RATE_LIMITED: Row(
        (Step(Action.RETRY_HERE, unless_awaited=True), _OTHER_FIRST, _RETRY, _STOP),
        Counts.COOL_DOWN,
        "The provider says when. A person goes to others at once, which have limits of their own; what "
        "nobody waits for keeps to the model that suits it, if its turn comes soon enough.",
        passes=True,
    ),
    FailureKind.TIMEOUT: Row(
        (_OTHER_FIRST, _RETRY, _STOP),
        Counts.FAILURE,
        "It has cost the time of an attempt already, so somebody else goes first. One that came before the "
        "deployment's own time-out counts only if the deployment answered nobody meanwhile.",
        passes=True,
    ),
    FailureKind.SERVER_ERROR: Row(
        (_RETRY_ONCE, _OTHER_FIRST, _RETRY, _STOP),
        Counts.FAILURE,
        "Mostly over a moment later; a second one is the other provider's turn.",
        passes=True,
    ),
    FailureKind.CONNECTION: Row(
        (_RETRY_ONCE, _OTHER_FIRST, _RETRY, _STOP),
        Counts.FAILURE,
        "Mostly one connection that died; a second one is the other provider's turn.",
        passes=True,
    ),
    FailureKind.AUTH: Row(
        (_OTHER_FIRST, _STOP),
        Counts.NEUTRAL,
        "A key that is refused, or has no credit, stays so until somebody sees to it.",
        disables=True,
    ),
    FailureKind.FORBIDDEN: Row(
        (_OTHER_FIRST, _STOP),
        Counts.NEUTRAL,
        "A gateway's word on this request, or on where it comes from: others need not suffer from it.",
    ),
    FailureKind.CONTEXT_TOO_LONG: Row(
        (
            Step(Action.SHORTEN, most=1),
            Step(Action.OTHER_DEPLOYMENT, where=Where.LARGER_CONTEXT),
            _STOP,
        ),
        Counts.NEUTRAL,
        "The middle of the longest message goes, its rules stay; else a model that takes more has the whole.",
        inherent=True,
    ),
    FailureKind.CONTENT_FILTERED: Row(
        (Step(Action.OTHER_DEPLOYMENT, most=1, where=Where.OTHER_PROVIDER), _STOP),
        Counts.NEUTRAL,
        "Filters differ, so a second opinion is asked for; two that agree are right.",
        inherent=True,
    ),
    FailureKind.MALFORMED: Row(
        (_RETRY_ONCE, _ELSEWHERE, _RETRY, _STOP),
        Counts.NEUTRAL,
        "What came is no completion, so there is nothing to repair.",
    ),
    FailureKind.UNSUPPORTED_FORMAT: Row(
        (Step(Action.PLAIN_JSON, most=1), _ELSEWHERE, _STOP),
        Counts.NEUTRAL,
        "The model can't enforce this schema: it is told in words, and its answer is checked as ever.",
    ),
    FailureKind.BAD_REQUEST: Row(
        (Step(Action.OTHER_DEPLOYMENT, most=1), _STOP),
        Counts.NEUTRAL,
        "One model may lack what another has, or not exist; what two refuse is wrong.",
        inherent=True,
    ),
    Refusal.UNUSABLE_ANSWER: Row(
        (Step(Action.REPAIR, most=1), _ELSEWHERE, _STOP),
        Counts.SUCCESS,
        "Empty, cut off, or of another shape than was asked for: the model is shown it, and what is wrong.",
    ),
    Refusal.BUDGET_EXHAUSTED: Row(
        (_CHEAPER, _STOP),
        Counts.ABANDONED,
        "Nothing was sent, and waiting won't help; a cheaper model may fit into what is left, and a budget "
        "for one provider leaves the others free.",
    ),
    Refusal.BUDGET_BUSY: Row(
        (_RETRY, _CHEAPER, _STOP),
        Counts.ABANDONED,
        "Nothing was sent. Only calls in flight are in the way: as they settle, there may be room.",
    ),
    Refusal.NO_PRICE: Row(
        (_ELSEWHERE, _STOP),
        Counts.ABANDONED,
        "Nothing was sent: what has no price would count as free.",
    ),
    Refusal.CIRCUIT_OPEN: Row(
        (_OTHER_FIRST, _STOP),
        Counts.ABANDONED,
        "Nothing was sent: it has failed too often lately, and a probe of somebody else's is under way.",
        passes=True,
    ),
}


def counts(kind: str, *, cut_short: bool = False) -> Counts:
    """What the breaker is told; `cut_short`: the attempt had less time than the deployment's own time-out."""
    if cut_short and kind == FailureKind.TIMEOUT:
        return Counts.SHORT_TIMEOUT
    return MATRIX[kind].counts


def passes(kind: str) -> bool:
    """Whether time alone may mend it. No other code of an error does."""
    row = MATRIX.get(kind)
    return row is not None and row.passes


HEADERS = ("failure", "what is done, in order", "the breaker counts", "for joiners too", "why")


def table() -> list[tuple[str, ...]]:
    """The matrix in words, a line for each kind, under `HEADERS`."""
    return [
        (
            kind.replace("_", " "),
            " → ".join(map(str, row.steps)),
            "nothing; it is disabled, people are alerted" if row.disables else _COUNTED[row.counts],
            "yes" if row.inherent else "no",
            row.why,
        )
        for kind, row in MATRIX.items()
    ]


_COUNTED = {
    Counts.SUCCESS: "a success",
    Counts.FAILURE: "a failure",
    Counts.NEUTRAL: "nothing",
    Counts.COOL_DOWN: "nothing; a cool-down",
    Counts.ABANDONED: "nothing; a probe goes back",
}
