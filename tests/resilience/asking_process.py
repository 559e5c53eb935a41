"""A process that asks the AI steadily, for test_provider_outage.py: captions, no two of them the same.

python -m tests.resilience.asking_process web TENANT RATE      as the API does for people who wait
python -m tests.resilience.asking_process worker TENANT RATE   as a worker does with the queue's rows

RATE is questions a second. When its input ends it waits for the answers that are under way, and prints as
JSON how many seconds each question took, by its id, and what it saw of breakers: [seconds since 1970, state].
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event, Thread
from typing import Any
from uuid import UUID

import django

THREADS = 128


class Changes(logging.Handler):
    """Notes what is logged of breakers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[float, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.msg, dict) and record.msg["event"] == "breaker.changed":
            self.seen.append((record.created, record.msg["after"]))


def asker(kind: str, tenant_id: UUID) -> Callable[[int], tuple[UUID, float]]:
    """Asks a question of that number; its id, and how long it took."""
    from django.db import connection
    from django.utils import timezone

    from apps.ai.services.generations import run_generation
    from apps.common.priority import Priority
    from apps.tenants.models import Tenant
    from tests.ai import asking

    tenant = Tenant(pk=tenant_id)

    def ask(number: int) -> tuple[UUID, float]:
        began, text = time.monotonic(), f"Lake {number}, by {kind}."
        if kind == "web":
            asked: Any = asking.caption(tenant, text, priority=Priority.HIGH)
            asking.answer(asked)
        else:
            variables = {"input": text, "variables": {}}
            asked = asking.ask(tenant, "assistant_caption", variables=variables)
            run_generation(generation_id=asked.pk, clock=timezone.now)
        connection.close()
        return asked.id, time.monotonic() - began

    return ask


def main(kind: str, tenant: str, rate: str) -> None:
    django.setup()
    changes, over = Changes(), Event()
    _log_only_news(changes)
    _allow_for_a_slow_machine()
    Thread(target=_wait_for_the_end, args=(over,), daemon=True).start()
    ask, asked = asker(kind, UUID(tenant)), []
    with ThreadPoolExecutor(THREADS) as pool:
        for number in count():
            asked.append(pool.submit(ask, number))
            if over.wait(1 / float(rate)):
                break
    seconds = {str(question_id): took for question_id, took in (each.result() for each in asked)}
    print(json.dumps({"seconds": seconds, "changes": changes.seen}))  # noqa: T201


def _allow_for_a_slow_machine() -> None:
    """What leaves a row may be stopped in the middle of its transaction, for as long as that takes here."""
    from django.db import connections

    options = connections["default"].settings_dict["OPTIONS"]
    options["options"] += " -c idle_in_transaction_session_timeout=120s"


def _log_only_news(changes: Changes) -> None:
    """Of answers there are too many for whoever reads why a test failed."""
    root = logging.getLogger()
    for each in root.handlers:
        each.addFilter(lambda record: "generation.finished" not in str(record.msg))
    root.addHandler(changes)


def _wait_for_the_end(over: Event) -> None:
    sys.stdin.read()
    over.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
