"""A process whose threads all ask the AI the same question, for test_flight_processes.py.

python -m tests.ai.question_process TENANT THREADS

Says "ready", asks once it is told to go on by a line, and prints what became of each question, as JSON.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import django

from apps.ai.deadlines import Deadlines

# Long, because it is up to the test for how long the provider works.
PATIENT = Deadlines(attempt=timedelta(seconds=60), retries=1, total=timedelta(seconds=120))


def main(tenant: str, threads: str) -> None:
    django.setup()
    from django.db import connection

    from apps.tenants.models import Tenant
    from tests.ai.asking import caption

    questions = [caption(Tenant(pk=UUID(tenant))) for _ in range(int(threads))]
    connection.close()
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    with ThreadPoolExecutor(len(questions)) as pool:
        print(json.dumps(list(pool.map(_ask, questions))))  # noqa: T201


def _ask(question: Any) -> dict[str, Any]:
    from django.db import connection

    from tests.ai.asking import answer

    began = time.monotonic()
    ending = answer(question, deadlines=PATIENT)
    connection.close()
    return {
        "state": ending.state,
        "source": ending.source,
        "text": ending.text,
        "error": ending.error,
        "seconds": time.monotonic() - began,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
