"""What creators and campaigns cost, beside what they are known to have earned."""

import csv
from collections.abc import Iterator
from io import StringIO
from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.analytics import queries
from apps.analytics.economics import Economics
from apps.analytics.queries import Table
from apps.analytics.serializers.campaign_costs import CampaignCostsSerializer
from apps.analytics.serializers.economics import (
    AMOUNTS,
    DEFAULT_LIMIT,
    EconomicsQuery,
    EconomicsTableSerializer,
)
from apps.campaigns.models import Campaign
from apps.common.money import LEDGER_CURRENCY, plain
from apps.costs.display import AtOneRate
from apps.costs.periods import period_start
from apps.costs.queries import campaign_costs_by_model
from apps.tenants.views import TenantView

CSV = "text/csv"
# What a file may have; it is made in memory, since no transaction may wait for a slow reader.
MOST_ROWS = 50_000
# With these at its beginning, a spreadsheet would take a text for a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_HEAD = [
    *("id", "name", "ai_cost", "messages_sent", "cost_per_message", "revenue", "margin", "cost_share"),
    "currency",
]

_FIGURES = {
    "ai_cost": {"amount": "4.12", "currency": "USD"},
    "messages_sent": 8240,
    "cost_per_message": {"amount": "0.0005", "currency": "USD"},
    "revenue": {"amount": "310.00", "currency": "USD"},
    "margin": {"amount": "305.88", "currency": "USD"},
    "cost_share": 0.01329,
}
_UNKNOWN = {**_FIGURES, "revenue": None, "margin": None, "cost_share": None}
_SHOWN = {
    "display": {
        "ai_cost": {"amount": "3.7904", "currency": "EUR"},
        "cost_per_message": {"amount": "0.00046", "currency": "EUR"},
        "revenue": {"amount": "285.20", "currency": "EUR"},
        "margin": {"amount": "281.4096", "currency": "EUR"},
    }
}
_SHOWN_UNKNOWN = {"display": {**_SHOWN["display"], "cost_per_message": None, "revenue": None, "margin": None}}
_TABLE = OpenApiExample(
    "By account, most revenue unknown",
    response_only=True,
    media_type="application/json",
    value={
        "from": "2026-03-01",
        "to": "2026-03-12",
        "time_zone": "Europe/Paris",
        "by": "account",
        "revenue_known": True,
        "rows": 2,
        "total": {**_FIGURES, **_SHOWN},
        "unattributed": {**_UNKNOWN, "messages_sent": 0, "cost_per_message": None, **_SHOWN_UNKNOWN},
        "results": [{"id": "0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f", "name": "Luna", **_FIGURES, **_SHOWN}],
        "display_currency": "EUR",
        "display_missing": None,
    },
)
_FILE = OpenApiExample(
    "The same as CSV",
    response_only=True,
    media_type=CSV,
    value=f"{','.join(_HEAD)}\r\n0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f,Luna,4.12,8240,0.0005,310.00,305.88,0.01329,USD\r\n",
)
_CAMPAIGN = OpenApiExample(
    "A campaign of which no revenue was told",
    response_only=True,
    value={
        "id": "0197f3a0-9d2f-7e7c-8a6f-3b5d7f9c1e20",
        "name": "Summer",
        "status": "finished",
        **_UNKNOWN,
        "by_model": [
            {
                "provider": "azure",
                "model": "gpt-4o",
                "attempts": 12,
                "estimated": 0,
                "input_tokens": 31_022,
                "cached_tokens": 1_280,
                "output_tokens": 4_590,
                "cost": {"amount": "4.12", "currency": "USD"},
            }
        ],
    },
)


class UnitEconomics(TenantView):
    serializer_class = EconomicsTableSerializer
    query_class = EconomicsQuery

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[BaseRenderer, str]:
        # `format` says what is wanted. A refusal is JSON in any case.
        return JSONRenderer(), JSONRenderer.media_type

    @extend_schema(
        operation_id="unit_economics",
        tags=["analytics"],
        parameters=[EconomicsQuery],
        responses={200: EconomicsTableSerializer, (200, CSV): OpenApiTypes.STR},
        examples=[_TABLE, _FILE],
    )
    def get(self, request: Request) -> HttpResponseBase:
        """The AI's cost, messages sent and revenue of each account or campaign, in some days.

        Accounts and campaigns that had none of them are left out. Revenue is what was told of it, or null
        where nothing was. With `format=csv` it is a file to download, with all rows.
        """
        zone = self.tenant.time_zone
        today = period_start("day", at=timezone.now(), time_zone=zone)
        query = EconomicsQuery(data=request.query_params.dict(), context={"today": today})
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        as_file = asked["format"] == "csv"
        found = queries.economics(
            tenant_id=self.tenant.pk,
            time_zone=zone,
            by=asked["by"],
            since=asked["from"],
            until=asked["to"],
            order=asked["order"],
            limit=MOST_ROWS if as_file else asked.get("limit", DEFAULT_LIMIT),
            offset=0 if as_file else asked["offset"],
        )
        shown = AtOneRate.of(self.tenant, day=asked["to"])
        if as_file:
            self.end_transaction()
            return _file(found, asked, shown)
        answer = {
            "from": asked["from"],
            "to": asked["to"],
            "time_zone": zone,
            "by": asked["by"],
            "revenue_known": found.total.revenue is not None,
            "rows": found.number,
            "total": found.total,
            "unattributed": found.unattributed,
            "results": found.rows,
            **shown.head(),
        }
        context = {**self.get_serializer_context(), "shown": shown}
        return Response(EconomicsTableSerializer(answer, context=context).data)


class CampaignCosts(TenantView):
    serializer_class = CampaignCostsSerializer

    @extend_schema(operation_id="campaign_costs", tags=["campaigns"], examples=[_CAMPAIGN])
    def get(self, request: Request, campaign_id: UUID) -> Response:
        """What a campaign's texts have cost, by model and per message, and what it is known to earn."""
        rows = Campaign.objects.filter(tenant_id=self.tenant.pk).select_related("outbox")
        campaign = rows.filter(pk=campaign_id).first()
        if campaign is None:
            raise NotFound("There is no such campaign.")
        by_model = campaign_costs_by_model(campaign_id=campaign.pk)
        figures = Economics(
            sum((each.costs.amount for each in by_model), Economics().ai_cost),
            campaign.outbox.sent,
            queries.revenue_of_campaign(campaign_id=campaign.pk),
        )
        answer = {"campaign": campaign, "figures": figures, "by_model": by_model}
        return Response(self.get_serializer(answer).data)


def _file(found: Table, asked: dict[str, Any], shown: AtOneRate) -> StreamingHttpResponse:
    if found.number > MOST_ROWS:
        text = f"It would have {found.number:,} rows, and a file {MOST_ROWS:,} at most: ask for fewer days."
        raise ValidationError({"from": [text]})
    name = f"economics_{asked['from']}_{asked['to']}_by_{asked['by']}.csv"
    return StreamingHttpResponse(
        _lines(found, shown),
        content_type=f"{CSV}; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _lines(found: Table, shown: AtOneRate) -> Iterator[str]:
    buffer = StringIO()
    writer = csv.writer(buffer)
    also = shown.currency != LEDGER_CURRENCY
    more = [*(f"display_{name}" for name in AMOUNTS), "display_currency"] if also else []
    writer.writerow([*_HEAD, *more])
    rows = [(str(row.id), row.name, row.figures) for row in found.rows]
    for subject, name, figures in [*rows, ("", "", found.unattributed)]:
        cells = [subject, _text(name), *_cells(figures), LEDGER_CURRENCY]
        writer.writerow([*cells, *(_shown_cells(figures, shown) if also else [])])
        if buffer.tell() > 2**15:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _cells(figures: Economics) -> list[str]:
    """What isn't known is empty."""
    money = [figures.cost_per_message, figures.revenue, figures.margin]
    share = "" if figures.cost_share is None else f"{figures.cost_share.normalize():f}"
    known = ["" if each is None else plain(each) for each in money]
    return [plain(figures.ai_cost), str(figures.messages_sent), *known, share]


def _shown_cells(figures: Economics, shown: AtOneRate) -> list[str]:
    amounts = [shown.money(getattr(figures, name)) for name in AMOUNTS]
    return [*(plain(each.amount) if each else "" for each in amounts), shown.currency]


def _text(name: str) -> str:
    return f"'{name}" if name.startswith(_FORMULAS) else name
