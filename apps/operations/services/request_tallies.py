"""How many requests of the API have failed lately, by minutes, over all web processes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models.functions import Now

from apps.operations.models import RequestTally
from apps.tenants.system import system_transaction

# The rule looks at the last minutes only.
KEPT = timedelta(hours=1)
_ADD = """
INSERT INTO operations_requesttally AS tally (minute, requests, failed) VALUES (%s, %s, %s)
ON CONFLICT (minute) DO UPDATE SET requests = tally.requests + excluded.requests,
    failed = tally.failed + excluded.failed
"""


@dataclass(frozen=True, slots=True)
class Count:
    """Of requests answered, and of those among them whose answer was a 5xx."""

    requests: int = 0
    failed: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.requests + other.requests, self.failed + other.failed)


def add(counts: Mapping[datetime, Count]) -> None:
    """Add what a process has counted, by the minutes' first instants; forget what is older than an hour.

    By the database's clock, which is one for all: a process whose clock is ahead would forget the others'.
    """
    with system_transaction():
        with connection.cursor() as cursor:
            for minute, count in sorted(counts.items()):  # in one order, lest two wait in a circle
                cursor.execute(_ADD, [minute, count.requests, count.failed])
        RequestTally.objects.filter(minute__lt=Now() - KEPT).delete()
