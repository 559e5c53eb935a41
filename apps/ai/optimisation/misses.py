"""Answers that the cache had or should have had, and that were paid for again. Pure.

Two ways lead there: who asks wants a new answer, or the cache has lost what it should still have kept.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from apps.ai.flights.ttl import TTLS
from apps.ai.optimisation.facts import Asked, Facts
from apps.ai.optimisation.findings import Finding, confidence, samples
from apps.ai.optimisation.repeats import by_question

KIND = "cache_misses"
# Fewer than that are chance: two who ask within one call's time, a restart of Redis.
LEAST = 3


def find(facts: Facts) -> Iterator[Finding]:
    for task_kind, asked in facts.by_kind():
        again, lost = (_missed(asked, facts, fresh=fresh) for fresh in (True, False))
        if len(again) >= LEAST:
            yield _finding(
                f"{task_kind}:fresh",
                task_kind,
                again,
                facts,
                advice=f"{len(again)} {task_kind} questions asked for a new answer (`fresh`, or a stream) "
                "while one to the same was kept. Leave that out where the caller doesn't need a new one.",
                because="Whether those callers needed another answer is for people to say.",
                best="0.5",
            )
        if len(lost) >= LEAST:
            yield _finding(
                f"{task_kind}:lost",
                task_kind,
                lost,
                facts,
                advice=f"{len(lost)} {task_kind} questions were paid for although the same had been answered "
                "within the time that answers are kept for. Give the cache more room "
                "(HUNTAZE_AI_CACHE_BYTES), or see why Redis was away.",
                because="The answer was paid for again within its own time in the cache.",
                best="0.7",
            )


def _missed(asked: list[Asked], facts: Facts, *, fresh: bool) -> list[Asked]:
    """Those paid again that a kept answer would have spared: because of `fresh`, or for no known reason.

    Who gets what is kept renews nothing. So of those who follow each other within its time for longer than it
    lasts, some would have paid even so.
    """
    ttl = _kept_for(asked[0].task_kind, facts)
    missed: list[Asked] = []
    for arrivals in by_question(asked):
        kept_at: datetime | None = None
        for each in arrivals:
            if not each.paid:
                continue
            if kept_at is not None and each.fresh == fresh and each.at - kept_at < ttl:
                missed.append(each)
            else:
                kept_at = each.at
    return sorted(missed, key=lambda each: each.at)


def _kept_for(task_kind: str, facts: Facts) -> timedelta:
    """How long answers were kept at least. Nobody knows since when the tenant's own time holds."""
    own = facts.ttl(task_kind).fresh
    return min(own, TTLS[task_kind].fresh) if task_kind in TTLS else own


def _finding(
    subject: str, task_kind: str, missed: list[Asked], facts: Facts, *, advice: str, because: str, best: str
) -> Finding:
    paid = sum((each.cost for each in missed), Decimal(0))
    return Finding(
        kind=KIND,
        subject=subject,
        task_kind=task_kind,
        advice=advice,
        monthly_saving=facts.monthly(paid),
        confidence=confidence(
            best, because=because, cases=len(missed), half_at=10, is_sample=facts.is_sample
        ),
        evidence={
            "questions": len(missed),
            "paid_in_span": str(paid),
            "fresh_s": int(_kept_for(task_kind, facts).total_seconds()),
            "generations": samples([each.id for each in missed]),
        },
    )
