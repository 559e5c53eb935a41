"""What the tenant has spent: today's as exactly as the last year's."""

import csv
from collections.abc import Iterator
from io import StringIO
from typing import Any

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.money import LEDGER_CURRENCY, plain
from apps.costs import queries
from apps.costs.display import Display
from apps.costs.periods import period_start
from apps.costs.queries import Breakdown
from apps.costs.rollup_reading import Dimension
from apps.costs.rollup_tables import SUMS
from apps.costs.serializers.reports import (
    DEFAULT_LIMIT,
    BreakdownQuery,
    BreakdownSerializer,
    CostStatsSerializer,
)
from apps.tenants.views import TenantView

CSV = "text/csv"
# What a file may have; it is made in memory, since no transaction may wait for a slow reader.
MOST_ROWS = 50_000
# With these at its beginning, a spreadsheet would take a text for a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")

_COSTS = {
    "attempts": 412,
    "estimated": 1,
    "input_tokens": 310_220,
    "cached_tokens": 12_800,
    "output_tokens": 45_900,
    "cost": {"amount": "1.234", "currency": "USD"},
    "display": {"amount": "1.13528", "currency": "EUR"},
}
_DISPLAY = {"display_currency": "EUR", "display_missing": None}
_PERIOD = {"total": _COSTS, "by_provider": [{"provider": "azure", **_COSTS}]}
_STATS = OpenApiExample(
    "A Thursday in March",
    response_only=True,
    value={
        "time_zone": "Europe/Paris",
        **_DISPLAY,
        "today": {"from": "2026-03-12", "to": "2026-03-12", **_PERIOD},
        "this_week": {"from": "2026-03-09", "to": "2026-03-15", **_PERIOD},
        "this_month": {"from": "2026-03-01", "to": "2026-03-31", **_PERIOD},
        "previous_month": {"from": "2026-02-01", "to": "2026-02-28", **_PERIOD},
    },
)
_BREAKDOWN = OpenApiExample(
    "By day and model",
    response_only=True,
    media_type="application/json",
    value={
        "from": "2026-03-01",
        "to": "2026-03-12",
        "time_zone": "Europe/Paris",
        **_DISPLAY,
        "by": ["day", "model"],
        "groups": 24,
        "total": _COSTS,
        "results": [{"day": "2026-03-01", "model": "gpt-4o", **_COSTS}],
    },
)
_ONLY = [
    OpenApiExample(f"Only what is of this {name}", parameter_only=(name, "query"), value=value)
    for name, value in {
        "provider": "azure",
        "model": "gpt-4o",
        "task_kind": "message",
        "campaign": "0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f",
    }.items()
]
_TABLE = OpenApiExample(
    "The same as CSV",
    response_only=True,
    media_type=CSV,
    value="day,model,attempts,estimated,input_tokens,cached_tokens,output_tokens,amount,currency\r\n"
    "2026-03-01,gpt-4o,412,1,310220,12800,45900,1.234,USD\r\n",
)


class CostStats(TenantView):
    serializer_class = CostStatsSerializer

    @extend_schema(operation_id="cost_stats", tags=["costs"], examples=[_STATS])
    def get(self, request: Request) -> Response:
        """What questions to the AI have cost today, this week and month and in the month before.

        By the tenant's calendar, up to the last call that has ended; in US dollars, and in the tenant's
        currency at the rates of the days.
        """
        zone, now = self.tenant.time_zone, timezone.now()
        spans = queries.spans_of_stats(time_zone=zone, now=now).values()
        display = Display.of(
            self.tenant,
            since=min(since for since, _ in spans),
            until=max(until for _, until in spans),
            now=now,
        )
        periods = queries.stats(
            tenant_id=self.tenant.pk, time_zone=zone, now=now, conversion=display.conversion
        )
        answer: dict[str, Any] = {"time_zone": zone}
        for name, period in periods.items():
            by_provider = [
                {**display.sums(costs), "provider": each} for each, costs in period.by_provider.items()
            ]
            days = {"from": period.since, "to": period.until}
            answer[name] = {**days, "total": display.sums(period.costs), "by_provider": by_provider}
        return Response(self.get_serializer({**answer, **display.head()}).data)


class CostBreakdown(TenantView):
    serializer_class = BreakdownSerializer
    query_class = BreakdownQuery

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        # `format` says what is wanted. A refusal is JSON in any case.
        return JSONRenderer(), JSONRenderer.media_type

    @extend_schema(
        operation_id="cost_breakdown",
        tags=["costs"],
        parameters=[BreakdownQuery],
        responses={200: BreakdownSerializer, (200, CSV): OpenApiTypes.STR},
        examples=[_BREAKDOWN, _TABLE, *_ONLY],
    )
    def get(self, request: Request) -> HttpResponseBase:
        """What questions to the AI have cost in some days of the tenant's calendar, by one dimension or two.

        Today's are in it up to the last call that has ended. With `format=csv` it is a file to download, with
        all groups. `provider`, `model`, `task_kind`, `account`, `campaign` and `user` leave out everything
        else, from `total`, too; together they leave what fits all of them.
        """
        zone = self.tenant.time_zone
        now = timezone.now()
        today = period_start("day", at=now, time_zone=zone)
        query = BreakdownQuery(data=request.query_params.dict(), context={"today": today})
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        as_file = asked["format"] == "csv"
        display = Display.of(self.tenant, since=asked["from"], until=asked["to"], now=now)
        found = queries.breakdown(
            tenant_id=self.tenant.pk,
            since=asked["from"],
            until=asked["to"],
            by=asked["by"],
            order=asked["order"],
            limit=MOST_ROWS if as_file else asked.get("limit", DEFAULT_LIMIT),
            only=asked["only"],
            conversion=display.conversion,
        )
        if as_file:
            self.end_transaction()
            return _file(found, asked, display)
        days = {"from": asked["from"], "to": asked["to"]}
        results = [
            {**display.sums(group.costs), **dict(zip(asked["by"], map(_text, group.values), strict=True))}
            for group in found.groups
        ]
        total = display.sums(found.total)
        answer = {
            **days,
            "time_zone": zone,
            "by": asked["by"],
            "groups": found.number,
            "total": total,
            "results": results,
        }
        return Response(self.get_serializer({**answer, **display.head()}).data)


def _file(found: Breakdown, asked: dict[str, Any], display: Display) -> StreamingHttpResponse:
    if found.number > MOST_ROWS:
        text = f"It would have {found.number:,} rows, and a file {MOST_ROWS:,} at most: ask for fewer days."
        raise ValidationError({"from": [text]})
    name = f"costs_{asked['from']}_{asked['to']}_by_{'_'.join(asked['by'])}.csv"
    return StreamingHttpResponse(
        _lines(found, asked["by"], display),
        content_type=f"{CSV}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _lines(found: Breakdown, by: tuple[Dimension, ...], display: Display) -> Iterator[str]:
    buffer = StringIO()
    writer = csv.writer(buffer)
    more = ["display_amount", "display_currency"] if display.conversion else []
    writer.writerow([*by, *SUMS, "currency", *more])
    for group in found.groups:
        *numbers, amount = (getattr(group.costs, name) for name in SUMS)
        shown = display.cells(group.costs) if display.conversion else []
        writer.writerow([*map(_cell, group.values), *numbers, plain(amount), LEDGER_CURRENCY, *shown])
        if buffer.tell() > 2**15:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _text(value: Any) -> str | None:
    """A dimension's value as answers and files have it."""
    if value is None:
        return None
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else str(value)


def _cell(value: Any) -> str:
    text = _text(value) or ""
    return f"'{text}" if text.startswith(_FORMULAS) else text
