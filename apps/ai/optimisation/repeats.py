"""Questions that were asked and paid again, and the time to keep answers for that would have saved it. Pure.

The arrivals of each question are played against a cache that keeps its answer for some time: who comes while
it is fresh would have got it. The saving is what those have really paid, exactly, less what the same game
says of the time that is in force.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from apps.ai.optimisation.facts import Asked, Facts
from apps.ai.optimisation.findings import Finding, confidence, samples

KIND = "repeated_prompts"

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
CANDIDATES = (
    timedelta(minutes=5),
    timedelta(minutes=10),
    timedelta(minutes=30),
    _HOUR,
    6 * _HOUR,
    _DAY,
    7 * _DAY,
    30 * _DAY,
)
# However much it would save: an old plan or vector is as good as a new one, an old word to a fan is not.
LONGEST: Mapping[str, timedelta] = {
    "planning": 7 * _DAY,
    "multi_platform": 7 * _DAY,
    "message": _HOUR,
    "quick_reply": timedelta(minutes=10),
    "idea": _DAY,
    "caption": _DAY,
    "embedding": 30 * _DAY,
}
# The shortest time that saves as much of what the longest one would.
_ENOUGH = Decimal("0.9")


@dataclass(frozen=True, slots=True)
class Played:
    """What a cache would have done: the questions that it would have spared, and what they have cost."""

    hits: int = 0
    saved: Decimal = Decimal(0)
    spared: tuple[UUID, ...] = ()


def by_question(asked: Iterable[Asked]) -> list[list[Asked]]:
    """Those that have an answer, by question, each in the order of time."""
    found: dict[str, list[Asked]] = {}
    for each in asked:
        if each.answered:
            found.setdefault(each.question, []).append(each)
    return list(found.values())


def play(arrivals: Sequence[Asked], ttl: timedelta) -> Played:
    """One question's arrivals, in the order of time, against a cache that keeps its answers for so long.

    Who says `fresh` asks whatever is kept, and renews it. An answer that we didn't see being made isn't kept.
    """
    kept_at: datetime | None = None
    hits, saved, spared = 0, Decimal(0), []
    for each in arrivals:
        if kept_at is not None and not each.fresh and each.at - kept_at < ttl:
            hits += 1
            if each.paid:
                saved += each.cost
                spared.append(each.id)
        elif each.paid:
            kept_at = each.at
    return Played(hits, saved, tuple(spared))


def play_all(questions: Iterable[Sequence[Asked]], ttl: timedelta) -> Played:
    played = [play(each, ttl) for each in questions]
    spared = sorted(id for each in played for id in each.spared)
    saved = sum((each.saved for each in played), Decimal(0))
    return Played(sum(each.hits for each in played), saved, tuple(spared))


def find(facts: Facts) -> Iterator[Finding]:
    for task_kind, asked in facts.by_kind():
        finding = _of_kind(task_kind, asked, facts)
        if finding is not None:
            yield finding


def _of_kind(task_kind: str, asked: list[Asked], facts: Facts) -> Finding | None:
    ttl, longest = facts.ttl(task_kind), LONGEST.get(task_kind, timedelta())
    longer = [each for each in CANDIDATES if ttl.fresh < each <= longest]
    if not longer:
        return None
    questions = [each for each in by_question(asked) if len(each) > 1]
    now = play_all(questions, ttl.fresh)
    then = {each: play_all(questions, each) for each in longer}
    most = max(played.saved for played in then.values()) - now.saved
    if most <= 0:
        return None
    chosen = next(each for each in longer if then[each].saved - now.saved >= _ENOUGH * most)
    spared_now = set(now.spared)
    spared = [each for each in then[chosen].spared if each not in spared_now]
    saved = then[chosen].saved - now.saved
    return Finding(
        kind=KIND,
        subject=task_kind,
        task_kind=task_kind,
        advice=f"Keep answers to {task_kind} questions for {_words(chosen)} instead of {_words(ttl.fresh)}: "
        f"{len(spared)} questions were asked and paid again within that time.",
        monthly_saving=facts.monthly(saved),
        confidence=confidence(
            "0.95",
            because="The arrivals were played against the longer time, with what they have really cost.",
            cases=len(spared),
            half_at=5,
            is_sample=facts.is_sample,
        ),
        evidence={
            "questions": len(asked),
            "repeated": len(questions),
            "saved_in_span": str(saved),
            "fresh_s": int(ttl.fresh.total_seconds()),
            "by_fresh_s": {
                str(int(each.total_seconds())): str(then[each].saved - now.saved) for each in longer
            },
            "generations": samples(spared),
        },
        change={
            "fresh_s": int(chosen.total_seconds()),
            "stale_s": int(max(chosen, ttl.stale).total_seconds()),
        },
    )


def _words(time: timedelta) -> str:
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (timedelta(minutes=1), "minute")):
        if time and not time % unit:
            return f"{time // unit} {name}{'s' if time // unit > 1 else ''}"
    return f"{int(time.total_seconds())} s" if time else "not at all"
