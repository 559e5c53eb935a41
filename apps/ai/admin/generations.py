from uuid import UUID

from django.contrib import admin
from django.db.models import Model
from django.template.loader import render_to_string
from django.utils import formats
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from apps.ai import explained
from apps.ai.admin.prompts import PreviewLink
from apps.ai.models import Generation, GenerationState
from apps.common.admin.base import LongTableAdmin
from apps.common.admin.columns import (
    EMPTY,
    TENANT,
    Amount,
    Badge,
    Column,
    Duration,
    IdLink,
    ListLink,
    Preformatted,
    ShortId,
    badge,
    row_link,
    unbroken,
)
from apps.common.admin.filters import MadeInFilter

ACCOUNT = IdLink("account", "account_id", to="messaging.account")
CAMPAIGN = IdLink("campaign", "campaign_id", to="campaigns.campaign")
USER = IdLink("user", "user_id", to="tenants.user", name="email")
JOINED = IdLink("answered by", "joined_id", to="ai.generation", name=None)

_COLOURS = {"answered": "succeeded", "able": "info", "passed over": ""}


class Explained(Column):
    """`explain` as a table."""

    def __call__(self, row: Model) -> SafeString | str:
        assert isinstance(row, Generation)
        lines = explained.lines(row.explain)
        if not lines:
            return EMPTY
        table = {"headers": explained.HEADERS, "rows": [_cells(each) for each in lines]}
        return SafeString(render_to_string("admin/explain.html", {"table": table}).strip())


class Lease(Column):
    """Until when nobody else takes it, and why."""

    def __call__(self, row: Model) -> str:
        assert isinstance(row, Generation)
        if row.lease_expires_at is None:
            return EMPTY
        until = formats.date_format(localtime(row.lease_expires_at), "DATETIME_FORMAT")
        if row.state == GenerationState.PENDING:
            return f"It waits until {until}: no deployment could be called."
        return f"Somebody works on it, until {until} at the latest."


def _cells(line: explained.Line) -> list[object]:
    result = badge(_COLOURS.get(line.result, "failed"), line.result) if line.result else ""
    who: object = line.deployment
    if line.answered_by:
        who = row_link("ai.generation", UUID(line.answered_by))
    return [unbroken(line.step), who, result, line.why]


@admin.register(Generation)
class GenerationAdmin(LongTableAdmin):
    empty_hint = "Campaigns, and requests to the API, ask the AI; each question leaves a row."
    list_display = [
        ShortId(),
        Badge("state", "state"),
        "task_kind",
        "source",
        "model",
        Amount("cost", "cost"),
        TENANT,
        "created_at",
    ]
    list_filter = [
        MadeInFilter,
        "state",
        "task_kind",
        "source",
        "priority",
        "fresh",
        ("joined_id", admin.EmptyFieldListFilter),
        "deployment",
    ]
    search_ids = ["pk", "joined_id", "campaign_id", "tenant_id"]
    search_help_text = "8+ digits of its id, a campaign's, a tenant's"
    lists = [
        ListLink("ledger entries", "costs.ledgerentry", generation_id="pk", occurred_at="created_at"),
        ListLink("holds", "costs.hold", generation_id="pk"),
        ListLink("contents", "content.content", generation__id__exact="pk"),
    ]
    shared = ListLink("others that it answered", "ai.generation", joined_id="pk")
    explanation = Explained("deployments and attempts")
    fieldsets = [
        (None, {"fields": [("id", Badge("state", "state")), (TENANT, CAMPAIGN, ACCOUNT, USER)]}),
        (
            "Question",
            {
                "fields": [
                    ("task_kind", "priority", "max_tokens", "fresh"),
                    PreviewLink("prompt"),
                    "variables",
                ]
            },
        ),
        (
            "Answer",
            {
                "fields": [
                    ("source", "deployment", "model"),
                    (JOINED, Duration("age of the answer", "age"), shared),
                    Preformatted("text", "text"),
                    Preformatted("data", "data"),
                    ("error_code", "error"),
                ]
            },
        ),
        (
            "Routing",
            {
                "fields": [explanation],
                "description": "Who could be asked, in which order, and what came of each attempt.",
            },
        ),
        (
            "Cost",
            {
                "fields": [
                    (Amount("cost", "cost"), "input_tokens", "cached_tokens", "output_tokens"),
                    tuple(lists),
                ]
            },
        ),
        (
            "Times",
            {
                "fields": [
                    ("created_at", "started_at", "finished_at"),
                    (Duration("latency", "latency"), "attempts", "abandonments", Lease("lease")),
                ]
            },
        ),
    ]
