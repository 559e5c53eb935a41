"""Replays: past questions, asked again of the deployment that a recommendation would have them go to.

Each is asked by a generation of its own, pinned to that deployment, which a worker of `ai` answers like any
other: under a lease, within the tenant's budgets, entered in the ledger as `replay`. A replay only looks at
what has become of them, so each of its steps is one transaction and waits for nobody.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import TextField
from django.db.models.functions import MD5, Cast

from apps.ai.models import (
    CURRENT,
    Generation,
    GenerationState,
    Recommendation,
    Replay,
    ReplayItem,
    Source,
    Status,
    TaskKind,
)
from apps.ai.optimisation.verdicts import LEAST
from apps.ai.routing import Candidate
from apps.ai.services import configuration
from apps.ai.services.estimates import can_be_put, most_cost
from apps.ai.services.recommendations import (
    ChangedSinceError,
    NothingToApplyError,
    WrongStatusError,
    check_status,
    locked,
)
from apps.ai.services.usage import WINDOW
from apps.common.errors import ConflictError, InvalidInputError
from apps.common.ids import first_id_of
from apps.common.money import LEDGER_CURRENCY, plain
from apps.common.priority import Priority
from apps.tenants.doors import tenant_transaction

log = structlog.get_logger(__name__)

SAMPLE, MOST_SAMPLE = 20, 100
# Questions that a sample is drawn from, the newest.
_DRAWN_FROM = 1_000
# A judge says how well one text could stand for the other; n-grams only how alike they are.
THRESHOLD_JUDGED, THRESHOLD = Decimal("0.70"), Decimal("0.50")
# Below it a score says nothing: texts that have nothing to do with each other reach 0.4 by their form alone.
LEAST_JUDGED, LEAST_ALIKE = Decimal("0.50"), Decimal("0.40")


class TooFewQuestionsError(ConflictError):
    """There aren't enough past questions to learn anything from."""

    code = "too_few_questions"


class TooDearError(InvalidInputError):
    """The replay might cost more than it may."""

    code = "replay_too_dear"


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a recommendation is to be verified. `threshold` None: the one of the way of judging."""

    sample: int = SAMPLE
    max_cost: Decimal | None = None
    judge: bool = True
    threshold: Decimal | None = None

    @property
    def needed(self) -> Decimal:
        """What the score's lower bound has to reach."""
        if self.threshold is not None:
            return self.threshold
        return THRESHOLD_JUDGED if self.judge else THRESHOLD


@dataclass(frozen=True, slots=True)
class Begun:
    """A replay that was begun, and the generations that workers should be told of."""

    recommendation: Recommendation
    replay: Replay
    generations: Sequence[UUID]


def verify_recommendation(
    *, recommendation_id: UUID, tenant_id: UUID, wanted: Wanted, now: datetime, by: str, user_id: UUID | None
) -> Begun:
    """Have a sample of the past questions asked again. All of it is left to the workers.

    Raises NotFoundError, NothingToApplyError, WrongStatusError, ChangedSinceError, TooFewQuestionsError,
    TooDearError.
    """
    with tenant_transaction(tenant_id):
        row = locked(recommendation_id=recommendation_id, tenant_id=tenant_id)
        target = _target(row)
        originals = _draw(row, target=target, number=wanted.sample, now=now)
        if len(originals) < LEAST:
            raise TooFewQuestionsError(
                f"Of this kind {len(originals)} different questions were answered by others in the last 30 "
                f"days; a replay needs {LEAST}."
            )
        limit = _limit(originals, target, wanted)
        replay = Replay.objects.create(
            tenant_id=tenant_id,
            recommendation=row,
            deployment_id=target.id,
            requested_by=by,
            judged=wanted.judge,
            threshold=wanted.needed,
            max_cost=limit,
        )
        asked = [_ask_again(each, target, user_id) for each in originals]
        Generation.objects.bulk_create(asked)
        ReplayItem.objects.bulk_create(
            ReplayItem(
                tenant_id=tenant_id,
                replay=replay,
                original_id=original.pk,
                generation_id=again.pk,
                original_cost=original.cost_by_now,
            )
            for original, again in zip(originals, asked, strict=True)
        )
        row.status, row.remark, row.quiet_until = Status.VERIFYING, "", None
        row.save(update_fields=["status", "remark", "quiet_until"])
    log.info("replay.begun", replay_id=str(replay.pk), tenant_id=str(tenant_id), questions=len(asked))
    return Begun(row, replay, [each.pk for each in asked])


def _target(row: Recommendation) -> Candidate:
    """The deployment that it recommends, if it can be asked now."""
    if not row.change or "deployment" not in row.change:
        raise NothingToApplyError("Only another deployment is verified by a replay; this recommends none.")
    check_status(row, Status.OPEN, Status.VERIFIED, Status.REJECTED, to="verified")
    same = Recommendation.objects.filter(kind=row.kind, subject=row.subject, tenant_id=row.tenant_id)
    if same.filter(status__in=CURRENT).exclude(pk=row.pk).exists():
        raise WrongStatusError("There is a newer recommendation of the same: verify that one.")
    config = configuration.current()
    target_id = UUID(row.change["deployment"])
    target = config.deployment(target_id)
    if target is None or target_id in config.exclusions or config.prices.get(target_id) is None:
        raise ChangedSinceError("The deployment that it recommends can't be asked now. Analyse again.")
    return target


def _draw(row: Recommendation, *, target: Candidate, number: int, now: datetime) -> list[Generation]:
    """Different questions that others have answered, spread evenly over the newest of them."""
    answered = Generation.objects.filter(
        tenant_id=row.tenant_id,
        task_kind=row.task_kind,
        pk__gte=first_id_of(now - WINDOW),
        state=GenerationState.SUCCEEDED,
        source=Source.PROVIDER,
        joined_id=None,
    ).exclude(deployment_id=target.id)
    said = answered.annotate(said=MD5(Cast("variables", TextField()))).order_by("-id")
    different: dict[tuple[object, ...], UUID] = {}
    for pk, *same in said.values_list("pk", "prompt_id", "max_tokens", "said")[:_DRAWN_FROM]:
        different.setdefault(tuple(same), pk)
    ids = list(different.values())
    number = min(number, len(ids))
    chosen = [ids[len(ids) * place // number] for place in range(number)]
    rows = Generation.objects.with_paid().select_related("prompt").defer("explain")
    return [each for each in rows.filter(pk__in=chosen).order_by("id") if can_be_put(each)]


def _limit(originals: Iterable[Generation], target: Candidate, wanted: Wanted) -> Decimal:
    """What the replay may cost. Raises TooDearError if asking each question once might cost more."""
    limit: Decimal = settings.REPLAY_MAX_COST
    if wanted.max_cost is not None:
        limit = min(limit, wanted.max_cost)
    most = most_cost(originals, target=target, judge=wanted.judge)
    if most > limit:
        raise TooDearError(
            f"It might cost {plain(most)} {LEDGER_CURRENCY}, and may cost {plain(limit)}: take a smaller "
            "sample, no judge, or a higher max_cost (up to HUNTAZE_REPLAY_MAX_COST, "
            f"{plain(settings.REPLAY_MAX_COST)} {LEDGER_CURRENCY}).",
            fields={"max_cost": f"At least {plain(most)} would be needed."},
        )
    return limit


def _ask_again(original: Generation, target: Candidate, user_id: UUID | None) -> Generation:
    """Nobody's work waits for it, and no campaign or account pays for it."""
    return Generation(
        tenant_id=original.tenant_id,
        task_kind=TaskKind.REPLAY,
        prompt=original.prompt,
        variables=original.variables,
        max_tokens=original.max_tokens,
        priority=Priority.LOW,
        fresh=True,
        pinned_id=target.id,
        user_id=user_id,
    )
