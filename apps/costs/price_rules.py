"""What a price that somebody enters may be."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from apps.costs.price_list import HIGHEST_RATE, RATES

# From so long before it begins, a price stays as it is (migration 0009_price_kinds): clocks differ.
FIXED_BEFORE_START = timedelta(minutes=1)
# How long ago “from now on” may have been typed: it means when the form is sent (`begins_at`).
_SLACK = timedelta(minutes=5)
_PAIRS = (
    ("cached_input_per_million", "input_per_million"),
    ("batch_cached_input_per_million", "batch_input_per_million"),
)


def is_fixed(starts_at: datetime, *, now: datetime) -> bool:
    """Whether a price has begun, or is so near to it that it counts as begun."""
    return starts_at <= now + FIXED_BEFORE_START


def begins_at(starts_at: datetime, *, now: datetime) -> datetime:
    """When a price begins that takes another one's place, if somebody asks for this instant.

    No sooner than everybody has seen it: what is called until then is billed by the other one, and entries
    would seem to have the wrong price. What has long passed stays, to be refused.
    """
    if starts_at < now - _SLACK:
        return starts_at
    return max(starts_at, now + FIXED_BEFORE_START)


def price_problems(
    *, kind: str, rates: Mapping[str, Decimal | None], starts_at: datetime | None, now: datetime
) -> dict[str, str]:
    """What is wrong with a new price or one that hasn't begun, by field; `rates` by their names in RATES."""
    found = {}
    for name in RATES:
        if problem := _rate_problem(rates.get(name)):
            found[name] = problem
    for cached, whole in _PAIRS:
        if _exceeds(rates.get(cached), rates.get(whole)):
            found.setdefault(cached, "What is read from a cache costs no more than other input.")
    found = {**_kind_problems(kind, rates), **found}
    if (rates.get("batch_input_per_million") is None) != (rates.get("batch_output_per_million") is None):
        found.setdefault("batch_output_per_million", "Give both rates of a batch, or neither.")
    elif (
        rates.get("batch_input_per_million") is None
        and rates.get("batch_cached_input_per_million") is not None
    ):
        found.setdefault(
            "batch_cached_input_per_million", "A batch has an input rate before it has this one."
        )
    if starts_at is not None and starts_at < now - _SLACK:
        found["starts_at"] = "That has passed: what was called since then has been billed. Give now or later."
    return found


def _rate_problem(rate: Decimal | None) -> str:
    if rate is None:
        return ""
    if rate < 0:
        return "A rate is 0 or more."
    if rate > HIGHEST_RATE:
        return f"More than {HIGHEST_RATE:,} USD per million tokens: is it the rate of another unit?"
    return ""


def _exceeds(one: Decimal | None, other: Decimal | None) -> bool:
    return one is not None and other is not None and one > other


def _kind_problems(kind: str, rates: Mapping[str, Decimal | None]) -> dict[str, str]:
    found = {}
    for name, whole in (
        ("output_per_million", "input_per_million"),
        ("batch_output_per_million", "batch_input_per_million"),
    ):
        rate = rates.get(name)
        if kind == "embedding" and rate:
            found[name] = "An embedding has no output: give 0."
        elif kind == "text" and rate == 0 and rates.get(whole):
            found[name] = "Its output would count as free: give its rate, or choose the kind “embedding”."
    return found
