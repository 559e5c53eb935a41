"""What becomes of a replay, step by step, as its generations come to their ends."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.ai.models import Generation, ItemState, Replay, ReplayState
from apps.ai.services.estimates import JUDGE, judge_variables, put
from apps.ai.services.generations import request_generation
from apps.ai.services.replay_outcomes import Rows, finish, problem, rows_of, words_of
from apps.common.errors import DomainError
from apps.common.priority import Priority
from apps.tenants.doors import tenant_transaction
from apps.tenants.system import system_transaction

_OPEN = (ReplayState.RUNNING, ReplayState.JUDGING)


def open_replays(*, limit: int = 500) -> list[UUID]:
    """Those that haven't come to their end, the oldest first."""
    with system_transaction():
        rows = Replay.objects.filter(state__in=_OPEN).order_by("id")
        return list(rows.values_list("pk", flat=True)[:limit])


def advance_replay(*, replay_id: UUID, now: datetime) -> list[UUID]:
    """Take a replay as far as its generations allow, in one transaction. Returns new ones, for hints.

    Nothing happens if somebody else is at it.
    """
    with system_transaction():
        tenant_id = Replay.objects.filter(pk=replay_id).values_list("tenant_id", flat=True).first()
    if tenant_id is None:
        return []
    with tenant_transaction(tenant_id):
        free = Replay.objects.select_for_update(skip_locked=True)
        replay = free.filter(pk=replay_id, state__in=_OPEN).first()
        if replay is None:
            return []
        rows = rows_of(replay)
        replay.cost = sum((rows.costs(each) for each in rows.items), Decimal(0))
        replay.save(update_fields=["cost"])
        is_spent = replay.cost > replay.max_cost
        if is_spent:
            _stop(rows, now=now)
            rows = rows_of(replay)
        if any(rows.waits(each) for each in rows.items):
            return []
        judges = replay.judged and replay.state == ReplayState.RUNNING and not is_spent
        asked = _begin_judging(replay, rows) if judges else []
        if not asked:
            finish(replay, rows, now=now)
        return asked


def _stop(rows: Rows, *, now: datetime) -> None:
    """Ask no more: it has cost enough."""
    asked = [each for item in rows.items for each in (item.generation_id, item.judge_id) if each is not None]
    Generation.objects.filter(pk__in=asked).cancel(
        code="replay_stopped",
        message="The replay had cost as much as it might before there was an answer.",
        now=now,
    )


def _begin_judging(replay: Replay, rows: Rows) -> list[UUID]:
    """Leave the judge's questions; those of items without an answer to judge have none."""
    asked: list[UUID] = []
    for item in rows.items:
        original, again = rows.of(item.original_id), rows.of(item.generation_id)
        if original is None or again is None or problem(original, again, replay):
            continue
        try:
            item.judge_id, item.state = _ask_judge(original, again), ItemState.JUDGING
        except DomainError as refusal:  # the judge's prompt was changed, or has gone
            item.error = refusal.message
            item.save(update_fields=["error"])
            continue
        item.save(update_fields=["judge_id", "state"])
        asked.append(item.judge_id)
    if asked:
        replay.state = ReplayState.JUDGING
        replay.save(update_fields=["state"])
    return asked


def _ask_judge(original: Generation, again: Generation) -> UUID:
    """Leave it one question. Raises UnknownPromptError, TemplateError."""
    judge = request_generation(
        tenant_id=again.tenant_id,
        prompt_key=JUDGE,
        variables=judge_variables(
            question=put(original), original=words_of(original), candidate=words_of(again)
        ),
        user_id=again.user_id,
        priority=Priority.MEDIUM,
        fresh=True,
    )
    return judge.pk
