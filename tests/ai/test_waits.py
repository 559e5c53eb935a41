"""When a deployment is asked again: what a provider wishes, and chance."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.ai import backoff
from apps.ai.providers import retry_after

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = format_datetime(NOW + timedelta(seconds=90), usegmt=True)


def wait(**headers: str) -> timedelta | None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return retry_after.read(httpx2.Headers(named), now=NOW)


def test_seconds_milliseconds_and_dates_are_understood() -> None:
    assert wait(Retry_After="7") == timedelta(seconds=7)
    assert wait(retry_after="1.5") == timedelta(seconds=1.5)
    assert wait(retry_after_ms="1250") == timedelta(milliseconds=1250)
    assert wait(retry_after=LATER) == timedelta(seconds=90)
    assert wait(retry_after=LATER.replace("GMT", "-0000")) == timedelta(seconds=90)


def test_milliseconds_are_finer_and_so_come_first() -> None:
    assert wait(retry_after="2", retry_after_ms="1250") == timedelta(milliseconds=1250)
    assert wait(retry_after="2", retry_after_ms="soon") == timedelta(seconds=2)


def test_a_date_is_by_the_providers_clock() -> None:
    slow = format_datetime(NOW + timedelta(seconds=80), usegmt=True)
    assert wait(retry_after=LATER, date=slow) == timedelta(seconds=10)
    assert wait(retry_after=LATER, date="some day") == timedelta(seconds=90)


def test_what_is_over_already_is_no_wait() -> None:
    assert wait(retry_after="-3") == timedelta()
    assert wait(retry_after=format_datetime(NOW - timedelta(days=1), usegmt=True)) == timedelta()


@pytest.mark.parametrize("value", ["", " ", "soon", "nan", "inf", "1e400", "1e300", "Fri, 99 Foo 2026"])
def test_what_cannot_be_understood_is_no_wish(value: str) -> None:
    assert wait(retry_after=value) is None
    assert wait(retry_after_ms=value, retry_after="3") in (timedelta(seconds=3), None)


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_whatever_stands_in_the_headers_is_a_wait_or_none(ms: str, after: str, date: str) -> None:
    found = retry_after.read({"retry-after-ms": ms, "retry-after": after, "date": date}, now=NOW)
    assert found is None or found >= timedelta()


@given(st.integers(1, 50), st.floats(0, 1000), st.integers())
def test_a_wait_begins_when_the_provider_wants_to_be_asked_again(
    tries: int, seconds: float, seed: int
) -> None:
    wished = timedelta(seconds=seconds)

    found = backoff.delay(tries, retry_after=wished, rng=random.Random(seed))  # noqa: S311

    assert wished <= found <= wished + backoff.MOST
    assert backoff.delay(tries, retry_after=None, rng=random.Random(seed)) == found - wished  # noqa: S311


def test_the_first_wait_is_short() -> None:
    waits = [backoff.delay(1, retry_after=None, rng=random.Random(seed)) for seed in range(50)]  # noqa: S311
    assert max(waits) <= backoff.BASE
