"""Tasks for a worker of the tests: some fail, one says what it saw.

`celery -A huntaze worker -I tests.huntaze.unlucky_tasks`
"""

import redis
from django.conf import settings
from django.db import OperationalError
from opentelemetry.trace import format_trace_id, get_current_span

from huntaze.celery import app
from tasks.base import Tick


def attempt(name: str) -> int:
    """Count one more attempt where the test can see it."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        number: int = client.incr(f"unlucky:{name}")
        return number


@app.task(name="tasks.analytics.sees_its_trace")
def sees_its_trace(*, letter_id: str) -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.set(f"trace:{letter_id}", format_trace_id(get_current_span().get_span_context().trace_id))


# Back-off of a second at most, for the sake of the tests' time.
@app.task(name="tasks.analytics.never_works", max_retries=2, retry_backoff_max=1)
def never_works(*, letter_id: str) -> None:
    attempt(letter_id)
    raise ConnectionError("nobody there")


@app.task(name="tasks.analytics.works_in_the_end", retry_backoff_max=1)
def works_in_the_end(*, letter_id: str) -> None:
    if attempt(letter_id) < 3:
        raise OperationalError("not yet")


@app.task(name="tasks.analytics.has_a_defect")
def has_a_defect(*, letter_id: str) -> None:
    attempt(letter_id)
    raise ZeroDivisionError("a defect")


@app.task(base=Tick, name="tasks.analytics.tick_that_fails")
def tick_that_fails(*, letter_id: str) -> None:
    attempt(letter_id)
    raise OperationalError("not this time")
