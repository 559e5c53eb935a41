"""Figures of the ledger, asked at every scrape: of the present month, so that one partition is read."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from django.db.models import Sum
from prometheus_client.core import GaugeMetricFamily, Metric

from apps.costs.models import LedgerEntry


def cost_of_this_month(now: datetime) -> Iterator[Metric]:
    """What providers have cost, and the tokens, since the month's beginning in UTC; then they start anew."""
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    labels = ["provider", "model"]
    cost = GaugeMetricFamily(
        "huntaze_ai_provider_cost", "Cost since the month's beginning.", labels=[*labels, "currency"]
    )
    tokens = GaugeMetricFamily(
        "huntaze_ai_token_usage", "Tokens since the month's beginning.", labels=[*labels, "kind"]
    )
    rows = (
        LedgerEntry.objects.filter(occurred_at__gte=month)
        .order_by()
        .values("provider", "model", "currency")
        .annotate(
            amount=Sum("amount"),
            input=Sum("input_tokens"),
            cached=Sum("cached_tokens"),
            output=Sum("output_tokens"),
        )
    )
    used: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        cost.add_metric([row["provider"], row["model"], row["currency"]], float(row["amount"]))
        for kind in ("input", "cached", "output"):
            used[row["provider"], row["model"], kind] += row[kind]
    for whose, number in used.items():
        tokens.add_metric(whose, number)
    yield cost
    yield tokens
