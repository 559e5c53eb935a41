"""Give each tenant a month's budget, evaluate all rules of alerts many times, and print the p95 in ms."""

import argparse
import os
import sys
import time
from decimal import Decimal

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huntaze.settings")
django.setup()

from django.utils import timezone  # noqa: E402 -- Django has to be set up first

from apps.common.errors import ConflictError  # noqa: E402
from apps.costs.services.budgets import create_budget  # noqa: E402
from apps.notifications.services.rules import evaluate_rules  # noqa: E402
from apps.tenants.models import Tenant  # noqa: E402
from apps.tenants.system import system_transaction  # noqa: E402
from tests.performance.arrivals import percentile  # noqa: E402

# Far beyond what anybody spends: what is measured is looking, not telling.
_LIMIT = Decimal(1_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.rules_load", description=__doc__)
    parser.add_argument("times", type=int)
    times = parser.parse_args().times
    with system_transaction():
        tenants = list(Tenant.objects.values_list("pk", flat=True))
    for tenant_id in tenants:
        try:
            create_budget(tenant_id=tenant_id, limit=_LIMIT, now=timezone.now())
        except ConflictError:  # an earlier round has made it
            break
    took = []
    evaluate_rules(now=timezone.now())
    for _ in range(times):
        began = time.perf_counter()
        evaluate_rules(now=timezone.now())
        took.append(1000 * (time.perf_counter() - began))
    sys.stdout.write(f"{percentile(took, 0.95)}\n")


if __name__ == "__main__":
    main()
