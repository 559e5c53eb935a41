"""A process whose threads all spend one tenant's budget, for test_budget_crowd.py.

python -m tests.costs.crowd_process TENANT THREADS USAGE HANGS_AFTER

Says "ready", goes on once it is told to by a line, and prints as JSON what its threads met until the budget
was exhausted: {"settled": …, "waits": …}. Each call holds BOUND dollars and costs USAGE. With HANGS_AFTER of
0 or more, each thread's call hangs after so many that were settled, as if the provider never answered; when
all hang it says "hanging".
"""

import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event, Semaphore
from typing import Any
from uuid import UUID

import django

BOUND = 5


@dataclass
class Met:
    settled: int = 0
    waits: int = 0


class Caller:
    """One thread's calls. It waits for room as the orchestrator does: by its time, on no connection."""

    def __init__(self, tenant: Any, usage: int, hangs_after: int, hanging: Semaphore) -> None:
        self._tenant, self._usage, self._hangs_after, self._hanging = tenant, usage, hangs_after, hanging
        self.met = Met()

    def spend(self) -> Met:
        from django.utils import timezone

        from apps.ai.services.lead import BUSY
        from apps.common.connections import give_back_connection
        from apps.costs.refusals import BudgetBusyError, BudgetExhaustedError
        from apps.costs.services import holds
        from tests.costs.spending import dollars, take

        while True:
            try:
                hold = take(self._tenant, BOUND)
            except BudgetExhaustedError:
                return self.met
            except BudgetBusyError:
                self.met.waits += 1
                give_back_connection()
                time.sleep(BUSY.total_seconds() * random.uniform(0.5, 1))  # noqa: S311  # as the orchestrator's
                continue
            give_back_connection()
            if self.met.settled == self._hangs_after:
                self._hanging.release()
                Event().wait()
            holds.settle(hold=hold, usage=dollars(self._usage), now=timezone.now())
            self.met.settled += 1


def main(tenant_id: str, threads: str, usage: str, hangs_after: str) -> None:
    django.setup()
    from apps.tenants.models import Tenant

    number, hanging = int(threads), Semaphore(0)
    tenant = Tenant(pk=UUID(tenant_id))
    callers = [Caller(tenant, int(usage), int(hangs_after), hanging) for _ in range(number)]
    print("ready", flush=True)  # noqa: T201
    sys.stdin.readline()
    with ThreadPoolExecutor(number) as pool:
        spending = [pool.submit(each.spend) for each in callers]
        if int(hangs_after) >= 0:
            for _ in callers:
                hanging.acquire()
            print("hanging", flush=True)  # noqa: T201
        met = [each.result() for each in spending]
    settled, waits = sum(each.settled for each in met), sum(each.waits for each in met)
    print(json.dumps({"settled": settled, "waits": waits}))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
