"""Ask the orchestrator and the bare client for captions in turn, and print the times that they took, in ms.

Blocks of a hundred calls alternate, so that whatever else the machine does disturbs both alike. Both speak
through the same kept client. Three budgets are over each call of ours, and each asks something new; with
`--hits`, what is in the cache.
"""

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import django

BLOCK = 100
# More than all calls can cost.
_LIMIT = Decimal(1_000_000)
_MODEL = "gpt-3.5-turbo"


class Sides:
    """The two ways to the same words."""

    def __init__(self, *, hits: bool) -> None:
        from django.core.management import call_command
        from django.utils import timezone

        from apps.common.ids import uuid7
        from apps.costs.models import BudgetScope
        from apps.costs.services.budgets import create_budget
        from apps.tenants.models import Tenant
        from apps.tenants.system import system_transaction

        call_command("ensure_deployments", verbosity=0, stdout=sys.stderr)
        with system_transaction():
            self._tenant = Tenant.objects.create(name="Benchmark")
        self._hits = hits
        self._ids: dict[str, Any] = {"account_id": uuid7(), "user_id": uuid7()}
        scopes = {BudgetScope.TENANT: None} | {
            scope: self._ids[f"{scope}_id"] for scope in (BudgetScope.ACCOUNT, BudgetScope.USER)
        }
        for scope, scope_id in scopes.items():
            create_budget(
                tenant_id=self._tenant.pk, limit=_LIMIT, now=timezone.now(), scope=scope, scope_id=scope_id
            )
        self._body = self._body_of(self._question(0))

    def ours(self, number: int) -> None:
        from django.db import connection
        from django.utils import timezone

        from apps.ai.deadlines import CRITICAL
        from apps.ai.services.generations import answer_question

        question = self._question(0 if self._hits else number)
        ending = answer_question(question=question, clock=timezone.now, deadlines=CRITICAL)
        # As whoever asks over the API gives it back.
        connection.close()
        wanted = "cache" if self._hits and number else "provider"
        if ending is None or ending.source != wanted:
            sys.exit(f"the answer came from {ending and (ending.source or ending.error)}, not {wanted}")

    def bare(self, _number: int) -> None:
        from apps.ai.providers import openai

        with openai.clients().lent() as client:
            client.chat.completions.create(**self._body)

    def check(self, calls: int) -> None:
        """That everything was paid for, and nothing stayed held. Exits otherwise."""
        from apps.costs.models import BudgetCounter, LedgerEntry
        from apps.tenants.doors import tenant_transaction

        with tenant_transaction(self._tenant):
            counters = list(BudgetCounter.objects.values_list("spent", "held"))
            entries = list(LedgerEntry.objects.values_list("amount", "estimated"))
        spent = sum((amount for amount, _ in entries), Decimal(0))
        if counters != [(spent, Decimal(0))] * 3 or any(estimated for _, estimated in entries):
            sys.exit(f"the ledger says {spent}, the budgets {counters}")
        if len(entries) != (1 if self._hits else calls):
            sys.exit(f"{len(entries)} calls were paid for")

    def _question(self, number: int) -> Any:
        from django.utils import timezone

        from apps.ai.services.generations import make_question

        return make_question(
            tenant_id=self._tenant.pk,
            prompt_key="assistant_caption",
            variables={"input": f"Photographs from lake {number}.", "variables": {"tone": "playful"}},
            now=timezone.now(),
            **self._ids,
        )

    def _body_of(self, question: Any) -> dict[str, Any]:
        from apps.ai.services.prompts import render_request

        request = render_request(
            prompt=question.prompt, variables=question.variables, max_tokens=question.max_tokens
        )
        return request.body(model=_MODEL, named=_MODEL)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huntaze.settings")
    parser = argparse.ArgumentParser(
        prog="python -m tests.performance.orchestrator_load", description=__doc__
    )
    parser.add_argument("calls", type=int)
    parser.add_argument("--hits", action="store_true")
    given = parser.parse_args()
    django.setup()
    sides = Sides(hits=given.hits)
    for number in range(BLOCK):
        sides.ours(number)
        sides.bare(number)
    gc.collect()
    gc.freeze()
    ours, bare = measure(sides, given.calls)
    sides.check(BLOCK + given.calls)
    sys.stdout.write(json.dumps({"ours": _figures(ours), "bare": _figures(bare)}) + "\n")


def measure(sides: Sides, calls: int) -> tuple[list[float], list[float]]:
    ours: list[float] = []
    bare: list[float] = []
    for start in range(BLOCK, BLOCK + calls, BLOCK):
        for side, times in ((sides.ours, ours), (sides.bare, bare)):
            times += [_timed(side, number) for number in range(start, start + BLOCK)]
    return ours, bare


def _timed(side: Callable[[int], None], number: int) -> float:
    started = time.perf_counter()
    side(number)
    return (time.perf_counter() - started) * 1000


def _figures(times: list[float]) -> dict[str, float]:
    return {"median": statistics.median(times), "p95": statistics.quantiles(times, n=20)[-1]}


if __name__ == "__main__":
    main()
