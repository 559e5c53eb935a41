"""What went wrong on one question's way, and the error that all of it comes to if nobody answers."""

from uuid import UUID

import structlog

from apps.ai import explained, matrix
from apps.ai.matrix import Refusal
from apps.ai.providers.outcomes import FailureKind
from apps.ai.routing import Candidate, Route
from apps.ai.services.attempts import Trouble
from apps.common.errors import DomainError
from apps.costs.refusals import told

log = structlog.get_logger(__name__)

# What a caller hears of a provider's failure. Its own words may name the operator's account, and what others
# ask there: they are in `explain`, which operators read.
_TOLD = {
    FailureKind.RATE_LIMITED: "is asked too much at the moment",
    FailureKind.TIMEOUT: "gave no answer in time",
    FailureKind.SERVER_ERROR: "has a fault",
    FailureKind.CONNECTION: "couldn't be reached, or hung up",
    FailureKind.FORBIDDEN: "refused the request",
    FailureKind.CONTEXT_TOO_LONG: "doesn't take a question as long as this",
    FailureKind.CONTENT_FILTERED: "filtered the question or its answer",
    FailureKind.MALFORMED: "gave an answer that can't be read",
    FailureKind.UNSUPPORTED_FORMAT: "can't answer in the form that is asked for",
    FailureKind.BAD_REQUEST: "refused the question as invalid",
}


class GenerationError(DomainError):
    """Nobody could answer; `explain` says what was tried. `inherent`: whoever asks the same gets the same."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        explain: list[dict[str, object]] | None = None,
        inherent: bool = False,
    ) -> None:
        super().__init__(message[:2000], code=code)
        self.explain = explain or []
        self.inherent = inherent


class Troubles:
    """Collects them. `explain`: what routing said, then each of them, as the generation's row keeps it."""

    def __init__(self, generation_id: UUID, route: Route) -> None:
        self._generation_id = generation_id
        self._met: list[tuple[Candidate, Trouble]] = []
        self.explain = list(route.explain)

    def note(self, candidate: Candidate, trouble: Trouble, *, attempt: int) -> None:
        if trouble.kind == Refusal.BUDGET_BUSY and self._met:
            before, last = self._met[-1]
            if (before, last.kind) == (candidate, trouble.kind):
                return  # it still is
        self._met.append((candidate, trouble))
        self.explain.append(
            {
                "attempt": attempt,
                "deployment": candidate.name,
                "outcome": str(trouble.kind),
                "message": trouble.message[:500],
                **({"budget": trouble.ceiling.facts} if trouble.ceiling else {}),
            }
        )
        log.warning(
            "ai.attempt_failed",
            generation_id=str(self._generation_id),
            attempt=attempt,
            deployment=candidate.name,
            outcome=str(trouble.kind),
        )

    @property
    def tries(self) -> int:
        """How often a provider was asked in vain."""
        return sum(trouble.was_asked for _, trouble in self._met)

    def error(self, *, is_cut: bool) -> GenerationError:
        """`is_cut`: somebody wasn't asked for want of time or attempts."""
        if self._met:
            return self._of_all(is_cut=is_cut)
        if is_cut:
            return GenerationError(
                "There was no time left to ask anybody.", code=str(FailureKind.TIMEOUT), explain=self.explain
            )
        return self._of_nobody()

    def _of_all(self, *, is_cut: bool) -> GenerationError:
        kinds = [trouble.kind for _, trouble in self._met]
        others = [kind for kind in kinds if not matrix.MATRIX[kind].inherent]
        return GenerationError(
            f"No deployment gave a usable answer. {self._said()}",
            code=str((others or kinds)[-1]),
            explain=self.explain,
            # The question is at fault only where nothing else was.
            inherent=not is_cut and not others,
        )

    def _said(self) -> str:
        """What they met, the same of several once."""
        same: dict[tuple[str, str], dict[str, Trouble]] = {}
        for candidate, trouble in self._met:
            what = str(trouble.ceiling) if trouble.ceiling else _told(trouble)
            same.setdefault((trouble.kind, what), {})[f"{candidate.provider} ({candidate.model})"] = trouble
        return " ".join(map(_sentence, same.values()))

    def _of_nobody(self) -> GenerationError:
        if explained.recovering(self.explain):
            message = "Nobody can take this task now: who could has failed too often, or asked for patience."
            code = str(Refusal.CIRCUIT_OPEN)
        else:
            message = "No deployment can take this task: an operator has to enable or add one."
            code = "no_deployment"
        return GenerationError(message, code=code, explain=self.explain)


def _sentence(met: dict[str, Trouble]) -> str:
    """What some met, by name: the same, but for what they would need of a budget."""
    *_, last = met.values()
    if last.ceiling is not None and len(met) > 1:
        needs = [
            f"{name} needs up to {each.ceiling.facts['needed']}" for name, each in met.items() if each.ceiling
        ]
        return told(last.kind, last.ceiling, needs=", ".join(needs))
    text = f"{', '.join(met)}: {_told(last)}"
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _told(trouble: Trouble) -> str:
    return _TOLD[FailureKind(trouble.kind)] if trouble.kind in _TOLD else trouble.message
