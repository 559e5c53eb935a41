"""What each pattern finds in past questions, and what it leaves alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.ai.flights.ttl import TTLS, Ttl
from apps.ai.models import RecommendationKind, TaskKind
from apps.ai.optimisation import contexts, dear_models, misses, repeats, retries
from apps.ai.optimisation.facts import MONTH, SHORTEST_SPAN, Asked, Facts, Lost, Offer, span_of
from apps.ai.optimisation.patterns import PATTERNS, analyse
from apps.ai.optimisation.repeats import CANDIDATES, LONGEST, play
from apps.common.ids import uuid7

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True)
class Rates:
    input_per_million: Decimal
    output_per_million: Decimal
    cached_input_per_million: Decimal | None = None


def offer(name: str, dollars: int, **fields: Any) -> Offer:
    """One that charges so much for a million tokens of either kind."""
    rates = Rates(Decimal(dollars), Decimal(dollars))
    defaults = {"provider": name, "model": name, "model_class": "standard", "rates": rates}
    return Offer(id=uuid7(), name=name, **{**defaults, **fields})


DEAR, CHEAP = offer("dear", 10, model_class="advanced"), offer("cheap", 1)


def asked(minutes: float, *, question: str = "a lake", **fields: Any) -> Asked:
    defaults: dict[str, Any] = {
        "task_kind": "caption",
        "deployment_id": DEAR.id,
        "input_tokens": 100,
        "output_tokens": 20,
        "cost": Decimal("0.0012"),
    }
    return Asked(id=uuid7(), at=START + minutes * MINUTE, question=question, **{**defaults, **fields})


def facts(rows: Sequence[Asked], **fields: Any) -> Facts:
    offers = fields.pop("offers", (DEAR, CHEAP))
    return Facts(asked=rows, offers={each.id: each for each in offers}, **{"ttls": TTLS, **fields})


def test_every_pattern_is_a_kind_that_the_table_knows() -> None:
    assert set(PATTERNS) == set(RecommendationKind.values)


def test_every_kind_of_task_but_replays_has_a_longest_time() -> None:
    assert set(LONGEST) == set(TaskKind.values) - {"replay"}
    assert all(LONGEST[kind] >= TTLS[kind].fresh for kind in LONGEST)


# --- repeated questions


def test_arrivals_within_the_time_would_have_been_spared_and_no_others() -> None:
    rows = [asked(0), asked(20), asked(29.9), asked(30), asked(70)]

    played = play(rows, 30 * MINUTE)

    assert played.spared == (rows[1].id, rows[2].id)
    assert played.saved == 2 * Decimal("0.0012")


def test_who_says_fresh_pays_and_renews_the_answer() -> None:
    rows = [asked(0), asked(20, fresh=True), asked(40)]
    assert play(rows, 30 * MINUTE).spared == (rows[2].id,)


def test_an_answer_that_nobody_saw_being_made_spares_nobody() -> None:
    rows = [asked(0, paid=False, cost=Decimal(0)), asked(5)]
    assert play(rows, HOUR).spared == ()


ARRIVALS = st.lists(
    st.tuples(st.integers(0, 3 * 24 * 60), st.integers(1, 10_000)), min_size=1, max_size=30
).map(lambda given: [asked(at, cost=Decimal(cost)) for at, cost in sorted(given)])


@given(ARRIVALS, st.sampled_from(CANDIDATES))
def test_nothing_is_saved_that_was_not_paid(rows: list[Asked], ttl: timedelta) -> None:
    played = play(rows, ttl)
    by_id = {each.id: each.cost for each in rows}
    assert played.saved == sum((by_id[each] for each in played.spared), Decimal(0))
    assert rows[0].id not in played.spared
    assert len(set(played.spared)) == played.hits < len(rows)


@given(ARRIVALS)
def test_the_longer_answers_are_kept_the_fewer_are_paid(rows: list[Asked]) -> None:
    hits = [play(rows, ttl).hits for ttl in (timedelta(), *CANDIDATES)]
    assert hits == sorted(hits)
    assert hits[0] == 0


@given(ARRIVALS, st.lists(st.booleans(), min_size=30, max_size=30), st.sampled_from(CANDIDATES))
def test_no_answer_is_given_that_is_older_than_the_time(
    rows: list[Asked], fresh: list[bool], ttl: timedelta
) -> None:
    rows = [replace(each, fresh=flag) for each, flag in zip(rows, fresh, strict=False)]
    spared = set(play(rows, ttl).spared)
    kept_at: datetime | None = None
    for each in rows:
        if each.id in spared:
            assert kept_at is not None
            assert each.at - kept_at < ttl
            assert not each.fresh
        else:
            kept_at = each.at


def test_a_longer_time_is_recommended_with_what_it_would_have_saved() -> None:
    rows = [asked(day * 24 * 60 + at) for day in range(10) for at in (0, 20, 40, 50)]

    (finding,) = repeats.find(facts(rows))

    assert (finding.subject, finding.change) == ("caption", {"fresh_s": 3600, "stale_s": 86400})
    assert finding.monthly_saving == 30 * Decimal("0.0012")
    assert "1 hour instead of 5 minutes" in finding.advice
    assert finding.confidence.value == Decimal("0.81")
    assert finding.evidence["generations"][0] == str(rows[-1].id)


def test_what_is_spared_already_is_not_counted_again() -> None:
    # At 2 the cache has answered; at 4 it should have, and hadn't. Only the one at 20 is the longer time's.
    rows = [asked(0), asked(2, paid=False, cost=Decimal(0)), asked(4), asked(20)]

    (finding,) = repeats.find(facts(rows))

    assert finding.evidence["saved_in_span"] == "0.0012"
    assert finding.evidence["generations"] == [str(rows[3].id)]


def test_a_fan_is_not_given_the_word_of_yesterday_whatever_it_saves() -> None:
    rows = [asked(at * 24 * 60, task_kind="quick_reply") for at in range(10)]
    assert list(repeats.find(facts(rows))) == []


def test_a_kind_that_is_kept_for_long_enough_is_left_alone() -> None:
    rows = [asked(at * 10) for at in range(10)]
    ttls = {**TTLS, "caption": Ttl(timedelta(days=1), timedelta(days=1))}
    assert list(repeats.find(facts(rows, ttls=ttls))) == []


def test_different_questions_are_no_repetition() -> None:
    rows = [asked(at, question=str(at)) for at in range(50)]
    assert list(repeats.find(facts(rows))) == []


def test_failures_are_no_answers_that_could_be_kept() -> None:
    rows = [asked(0, answered=False), asked(10), asked(40, answered=False)]
    assert list(repeats.find(facts(rows))) == []


# --- misses


def test_questions_that_say_fresh_and_answers_that_were_lost_are_told_apart() -> None:
    rows = [asked(0), *(asked(at, fresh=True) for at in (1, 2, 3)), *(asked(at) for at in (4, 5, 6))]

    found = {each.subject: each for each in misses.find(facts(rows))}

    assert set(found) == {"caption:fresh", "caption:lost"}
    assert found["caption:fresh"].evidence["generations"] == [str(rows[at].id) for at in (3, 2, 1)]
    assert found["caption:lost"].evidence["questions"] == 3
    assert all(each.change is None for each in found.values())


def test_what_was_paid_before_a_longer_time_was_set_is_no_miss_of_that_time() -> None:
    """Nobody knows since when the tenant's own time holds; the usual one held before."""
    rows = [asked(at) for at in range(0, 60, 10)]
    own = {**TTLS, "caption": Ttl(HOUR, HOUR)}
    assert list(misses.find(facts(rows, ttls=own))) == []


def test_a_shorter_time_of_the_tenants_own_is_the_one_that_counts() -> None:
    own = {**TTLS, "caption": Ttl(MINUTE, MINUTE)}
    assert list(misses.find(facts([asked(at) for at in (0, 2, 4, 6)], ttls=own))) == []


@pytest.mark.parametrize("fresh", [True, False])
def test_an_answer_that_is_given_is_not_renewed_so_some_would_have_paid_even_so(fresh: bool) -> None:
    # Kept for five minutes from 0, 8, 16 and 24 on.
    rows = [asked(at, fresh=fresh) for at in range(0, 28, 4)]

    (finding,) = misses.find(facts(rows))

    assert finding.evidence["questions"] == 3
    assert finding.evidence["paid_in_span"] == "0.0036"
    assert finding.evidence["generations"] == [str(rows[at].id) for at in (5, 3, 1)]


def test_two_misses_are_chance() -> None:
    rows = [asked(0), asked(1, fresh=True), asked(2, fresh=True)]
    assert list(misses.find(facts(rows))) == []


# --- dear models


def dear(number: int = 20, **fields: Any) -> list[Asked]:
    return [asked(at, question=str(at), **fields) for at in range(number)]


def test_simple_work_of_a_dear_model_is_priced_anew_at_the_cheapest() -> None:
    middle = offer("middle", 5)

    (finding,) = dear_models.find(facts(dear(20), offers=(DEAR, middle, CHEAP)))

    assert (finding.subject, finding.change) == ("caption:cheap", {"deployment": str(CHEAP.id)})
    # 120 tokens, at 10 and at 1 USD for a million.
    assert finding.monthly_saving == 20 * 120 * Decimal(9) / 1_000_000
    assert finding.evidence["by_deployment"] == {"dear": 20}


@pytest.mark.parametrize(
    "cheaper",
    [
        offer("off", 1, able=False),
        offer("unpriced", 1, rates=None),
        offer("vectors", 1, model_class="embedding"),
        offer("small", 1, context_tokens=119),
        offer("as dear", 10),
        offer("dearer", 11),
    ],
    ids=lambda each: each.name,
)
def test_nobody_is_recommended_who_could_not_do_it_or_is_no_cheaper(cheaper: Offer) -> None:
    assert list(dear_models.find(facts(dear(), offers=(DEAR, cheaper)))) == []


def test_plans_are_what_dear_models_are_for() -> None:
    assert list(dear_models.find(facts(dear(task_kind="planning")))) == []


def test_what_is_preferred_already_is_not_recommended() -> None:
    assert list(dear_models.find(facts(dear(), preferred={"caption": CHEAP.id}))) == []


def test_a_few_questions_are_no_pattern() -> None:
    assert list(dear_models.find(facts(dear(9)))) == []


def test_work_that_would_become_dearer_there_saves_as_much_less() -> None:
    long_answers = offer("long", 0, rates=Rates(Decimal(0), Decimal(100)))
    rows = [*dear(20, output_tokens=0), asked(99, question="x", input_tokens=0, output_tokens=300)]

    found = list(dear_models.find(facts(rows, offers=(DEAR, long_answers))))

    # 20 times 100 tokens at 10 less 0; 300 tokens at 10 instead of 100.
    assert found == []


# --- long contexts


def test_questions_far_above_the_usual_are_priced_down_to_the_third_quartile() -> None:
    rows = [asked(at, question=str(at), input_tokens=100) for at in range(30)]
    rows += [asked(100 + at, question=f"long {at}", input_tokens=1_100) for at in range(6)]

    (finding,) = contexts.find(facts(rows))

    assert finding.change is None
    assert finding.evidence["p75_input_tokens"] == 100
    assert finding.monthly_saving == 6 * 1_000 * Decimal(10) / 1_000_000
    assert finding.confidence.value < Decimal("0.2")


@pytest.mark.parametrize(("usual", "long"), [(10, 6), (30, 4)])
def test_too_few_questions_say_nothing_of_their_length(usual: int, long: int) -> None:
    rows = [asked(at, question=str(at)) for at in range(usual)]
    rows += [asked(100 + at, question=f"long {at}", input_tokens=5_000) for at in range(long)]
    assert list(contexts.find(facts(rows))) == []


# --- retries


def lost(number: int, deployment: str = "dear", outcome: str = "timeout", cost: str = "0.01") -> list[Lost]:
    return [Lost(uuid7(), deployment, outcome, Decimal(cost), estimated=True) for _ in range(number)]


def test_a_deployment_that_loses_many_attempts_is_named_with_what_they_cost() -> None:
    (finding,) = retries.find(facts(dear(20), lost=lost(10)))

    assert (finding.subject, finding.task_kind, finding.change) == ("dear", "", None)
    # Nobody else answered, so nobody knows how few it might be: half of what was paid.
    assert finding.monthly_saving == Decimal("0.05")
    assert finding.evidence["attempts_per_answer"] == "1.50"
    assert "more time" in finding.advice


def test_it_is_measured_against_the_best_of_the_others() -> None:
    others = dear(30, deployment_id=CHEAP.id)
    attempts = [*lost(20), *lost(10, "cheap")]

    (finding,) = retries.find(facts([*dear(20), *others], lost=attempts))

    # A half of its attempts, and a quarter of the other's.
    assert finding.monthly_saving == 20 * Decimal("0.01") / 2


@pytest.mark.parametrize(
    "attempts", [lost(4), lost(10, cost="0"), lost(10, outcome="rate_limited", cost="0")]
)
def test_few_or_free_losses_are_no_reason_for_advice(attempts: list[Lost]) -> None:
    assert list(retries.find(facts(dear(20), lost=attempts))) == []


def test_one_in_twenty_is_usual() -> None:
    assert list(retries.find(facts(dear(95), lost=lost(5)))) == []
    assert len(list(retries.find(facts(dear(94), lost=lost(6))))) == 1


# --- together


def test_the_most_comes_first_and_what_is_worth_less_is_left_out() -> None:
    # Twenty questions for 0.0012 each, half of them again after ten minutes.
    rows = [asked(at * 60 + late, question=str(at)) for at in range(20) for late in (0, 10)]

    found = analyse(facts(rows), least=Decimal("0.01"))
    none = analyse(facts(rows), least=Decimal(1))

    assert [each.kind for each in found] == ["dear_model", "repeated_prompts"]
    assert none == []


def test_nothing_asked_is_nothing_found() -> None:
    assert analyse(facts([]), least=Decimal(0)) == []


@pytest.mark.parametrize(
    ("seen", "span"),
    [
        (timedelta(hours=1), SHORTEST_SPAN),
        (timedelta(days=10), timedelta(days=10)),
        (timedelta(days=99), MONTH),
    ],
)
def test_what_was_seen_counts_for_a_week_at_least_and_the_window_at_most(
    seen: timedelta, span: timedelta
) -> None:
    assert span_of(first=START - seen, now=START, window=MONTH) == span


def test_ten_days_are_a_third_of_a_month() -> None:
    assert facts([], span=timedelta(days=10)).monthly(Decimal(1)) == 3


def test_a_sample_makes_it_less_sure() -> None:
    (whole,), (part,) = (list(dear_models.find(facts(dear(), is_sample=each))) for each in (False, True))
    assert part.confidence.value < whole.confidence.value
    assert "Only the newest questions were read." in part.confidence.reasons
