"""What a replay's generations have come to: a score for each question, and a verdict on all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import structlog

from apps.ai.models import (
    Generation,
    GenerationState,
    ItemState,
    Recommendation,
    Replay,
    ReplayItem,
    ReplayState,
    Status,
)
from apps.ai.optimisation import scoring
from apps.ai.optimisation.verdicts import LEAST, Verdict, verdict
from apps.ai.services.analyses import QUIET
from apps.common.money import plain

log = structlog.get_logger(__name__)

_ENDED = (GenerationState.SUCCEEDED, GenerationState.FAILED)
# The model's own fault: it couldn't do what it was asked. Anything else says nothing of its answers.
_COULD_NOT = frozenset(
    {"unusable_answer", "context_too_long", "content_filtered", "bad_request", "unsupported_format"}
)
_ZERO = Decimal("0.0000")


@dataclass(frozen=True, slots=True)
class Rows:
    """A replay's items with all generations that they name."""

    items: Sequence[ReplayItem]
    generations: Mapping[UUID, Generation]

    def of(self, pk: UUID | None) -> Generation | None:
        return self.generations.get(pk) if pk is not None else None

    def costs(self, item: ReplayItem) -> Decimal:
        """Of asking again and judging."""
        asked = (self.of(item.generation_id), self.of(item.judge_id))
        return sum((each.cost_by_now for each in asked if each is not None), Decimal(0))

    def waits(self, item: ReplayItem) -> bool:
        waited = self.of(item.judge_id if item.state == ItemState.JUDGING else item.generation_id)
        return (
            item.state in (ItemState.RUNNING, ItemState.JUDGING)
            and waited is not None
            and waited.state not in _ENDED
        )


def rows_of(replay: Replay) -> Rows:
    """As they are now."""
    items = list(replay.items.order_by("id"))
    ids = {
        pk for each in items for pk in (each.original_id, each.generation_id, each.judge_id) if pk is not None
    }
    generations = Generation.objects.with_paid().select_related("prompt").defer("explain")
    return Rows(items, generations.in_bulk(list(ids)))


def finish(replay: Replay, rows: Rows, *, now: datetime) -> None:
    """Score every question, and conclude the replay and its recommendation."""
    for item in rows.items:
        _score(item, replay, rows)
        item.save()
    scores = [each.score for each in rows.items if each.score is not None]
    found = verdict(scores)
    replay.finished_at = now
    if found is None:
        why = next((each.error for each in rows.items if each.error), "")
        replay.state = ReplayState.FAILED
        said = f"Only {len(scores)} of {len(rows.items)} questions got a score; {LEAST} are needed."
        replay.error = f"{said} {why}".strip()
    else:
        replay.state = ReplayState.DONE
        replay.score, replay.lower, replay.upper = found.mean, found.lower, found.upper
    replay.save()
    _conclude(replay, found, rows, now=now)
    log.info("replay.finished", replay_id=str(replay.pk), state=replay.state, scores=len(scores))


def _score(item: ReplayItem, replay: Replay, rows: Rows) -> None:
    """What one question's answers come to."""
    original, again = rows.of(item.original_id), rows.of(item.generation_id)
    item.cost, item.state = rows.costs(item), ItemState.FAILED
    if original is None or again is None:
        item.error = "The generation is no longer there."
        return
    if again.state == GenerationState.FAILED and again.error_code in _COULD_NOT:
        item.state, item.score, item.scores = ItemState.DONE, _ZERO, {"answered": 0}
        item.error = again.error
        return
    if wrong := problem(original, again, replay):
        item.error = wrong
        return
    judge = None
    if replay.judged:
        said = rows.of(item.judge_id)
        judge = scoring.judged(said.data) if said is not None else None
        if judge is None:
            item.error = (said.error if said is not None else item.error) or "The judge gave no score."
            return
    found = scoring.compare(words_of(original), words_of(again), judge=judge)
    item.state, item.score, item.scores = ItemState.DONE, found.total, {"answered": 1, **found.as_json()}


def problem(original: Generation, again: Generation, replay: Replay) -> str:
    """Why there is nothing to compare; empty if there is."""
    if again.state == GenerationState.FAILED:
        return again.error or "Nobody answered."
    if again.deployment_id != replay.deployment_id:
        return "Another deployment answered it."
    return ""


def _conclude(replay: Replay, found: Verdict | None, rows: Rows, *, now: datetime) -> None:
    row = Recommendation.objects.select_for_update().get(pk=replay.recommendation_id)
    row.verification_cost += replay.cost
    changed = ["verification_cost"]
    if row.status == Status.VERIFYING:
        changed += ["status", "remark", "quiet_until", "verified_at", "confidence", "reasons", "evidence"]
        if found is None:
            _leave_as_decided(row, replay)
        else:
            _judge(row, replay, found, rows, now=now)
    row.save(update_fields=changed)


def _leave_as_decided(row: Recommendation, replay: Replay) -> None:
    """What an earlier replay has verified or rejected stays so, where a later one came to nothing."""
    row.status, row.remark = Status.OPEN, replay.error
    figures = row.evidence.get("replay")
    if figures is None or row.verified_at is None:
        return
    number = {name: Decimal(figures[name]) for name in ("lower", "threshold", "paid_then", "paid_again")}
    if number["lower"] >= number["threshold"] and number["paid_again"] < number["paid_then"]:
        row.status = Status.VERIFIED
        return
    row.status, row.quiet_until = Status.REJECTED, row.verified_at + QUIET
    row.remark = f"An earlier replay has rejected it, and the last one came to nothing. {replay.error}"


def _judge(row: Recommendation, replay: Replay, found: Verdict, rows: Rows, *, now: datetime) -> None:
    said = (
        f"{found.number} past questions, asked again: a score of {found.mean:.2f} on average, "
        f"{found.lower:.2f} to {found.upper:.2f} with 95 % confidence; {replay.threshold:.2f} is needed of "
        "the lower bound."
    )
    done = [each for each in rows.items if each.state == ItemState.DONE]
    then = sum((each.original_cost for each in done), Decimal(0))
    again = sum((rows.generations[each.generation_id].cost_by_now for each in done), Decimal(0))
    row.evidence = {**row.evidence, "replay": _figures(replay, found, then=then, again=again)}
    row.verified_at = now
    row.confidence = found.lower.quantize(Decimal("0.01"))
    row.reasons = [
        said,
        _compared_by(rows, done) if replay.judged else "Compared by their n-grams and lengths.",
    ]
    if found.reaches(replay.threshold) and again < then:
        row.status, row.remark = Status.VERIFIED, ""
        return
    row.status, row.remark, row.quiet_until = Status.REJECTED, said, now + QUIET
    if found.reaches(replay.threshold):
        row.remark = (
            f"The same questions have cost {plain(then)} {row.currency} then and {plain(again)} "
            f"{row.currency} again: it saves nothing."
        )


def _compared_by(rows: Rows, done: Sequence[ReplayItem]) -> str:
    """An advanced model, unless none could be asked, or little was left of a budget."""
    judges = {judge.model for each in done if (judge := rows.of(each.judge_id)) is not None}
    return f"Judged by {', '.join(sorted(judges))}." if judges else "Nothing came that could be judged."


def _figures(replay: Replay, found: Verdict, *, then: Decimal, again: Decimal) -> dict[str, Any]:
    """`then`, `again`: what was paid for the same questions, judging aside."""
    return {
        "id": str(replay.pk),
        "questions": found.number,
        "score": str(found.mean),
        "lower": str(found.lower),
        "upper": str(found.upper),
        "threshold": str(replay.threshold),
        "judged": replay.judged,
        "paid_then": str(then),
        "paid_again": str(again),
    }


def words_of(generation: Generation) -> str:
    return scoring.words_of(generation.text, generation.data)
