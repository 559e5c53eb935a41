"""What a web process counts of its requests, and hands to the database every few seconds.

The middleware only adds two numbers. While the database is away the counts are kept; those of the last
seconds of a process that is killed are lost.
"""

import threading
from collections import defaultdict
from datetime import datetime

import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from apps.operations.services import request_tallies
from apps.operations.services.request_tallies import Count

log = structlog.get_logger(__name__)

EVERY_S = 5.0
# Of these nobody but probes and scrapers asks, every few seconds: they would hide what fails for people.
_APART = ("/api/health", "/api/metrics")

_counts: defaultdict[datetime, Count] = defaultdict(Count)
_lock = threading.Lock()


def count(*, path: str, status: int, now: datetime) -> None:
    """Count an answer, if it is one of the API's."""
    if not path.startswith("/api/") or path.startswith(_APART):
        return
    minute = now.replace(second=0, microsecond=0)
    with _lock:
        _counts[minute] += Count(1, int(status >= 500))


def hand_over(*, now: datetime) -> None:
    """Write what was counted since the last time. It is kept for the next time if that fails."""
    with _lock:
        taken = dict(_counts)
        _counts.clear()
    if not taken:
        return
    try:
        request_tallies.add(taken)
    except (DatabaseError, InterfaceError) as error:
        with _lock:
            for minute, kept in taken.items():
                if minute > now - request_tallies.KEPT:
                    _counts[minute] += kept
        log.warning("requests.not_tallied", error=str(error))


def begin() -> None:
    """Hand over every few seconds for as long as this process lives. To be called once it is forked."""
    threading.Thread(target=_keep_handing_over, name="request-tallies", daemon=True).start()


def _keep_handing_over() -> None:
    pause = threading.Event()
    while not pause.wait(EVERY_S):
        hand_over(now=timezone.now())
        connection.close()
