from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.ai.hints import hint_analysis, hint_generation
from apps.ai.models import (
    Analysis,
    Deployment,
    Recommendation,
    RecommendationKind,
    Replay,
    ReplayItem,
    Status,
)
from apps.ai.services import analyses, recommendations, replays
from apps.ai.services.replays import Wanted
from apps.common.admin.base import LongTableAdmin, ReadOnlyInline
from apps.common.admin.columns import (
    EMPTY,
    TENANT,
    Amount,
    Badge,
    Column,
    IdLink,
    ListLink,
    Preformatted,
    RowLink,
    ShortId,
    as_json,
    badge,
    preformatted,
)
from apps.common.admin.filters import MadeInFilter
from apps.common.admin.operations import Operation, Order

_COLOURS = {
    Status.VERIFYING: "running",
    Status.VERIFIED: "ready",
    Status.APPLIED: "active",
    Status.REJECTED: "failed",
    Status.OPEN: "info",
}
_WAITS = (Status.OPEN, Status.VERIFIED)


class StatusBadge(Column):
    def __call__(self, row: Any) -> SafeString | str:
        return badge(_COLOURS.get(row.status, ""), row.get_status_display())


class Interval(Column):
    """A replay's score with its interval."""

    def __call__(self, row: Any) -> str:
        return EMPTY if row.score is None else f"{row.score:.2f} ({row.lower:.2f} to {row.upper:.2f})"


class Roi(Column):
    """Measured saving for each unit that verifying has cost."""

    def __call__(self, row: Any) -> str:
        return EMPTY if row.roi is None else f"{row.roi:,}"


class Reasons(Column):
    def __call__(self, row: Any) -> SafeString | str:
        return format_html("{} <br>{}", row.confidence, " ".join(row.reasons)) if row.reasons else EMPTY


class Change(Preformatted):
    """What applying it sets, with the deployment's name in place of its id."""

    def __call__(self, row: Any) -> SafeString | str:
        value = getattr(row, self.field)
        if not value or "deployment" not in value:
            return super().__call__(row)
        named = Deployment.objects.filter(pk=value["deployment"]).values_list("name", flat=True).first()
        return preformatted(as_json({**value, "deployment": named or value["deployment"]}))


STATUS = StatusBadge("status", order_by="status")
SCORE = Interval("score, 95 %")


def _verify(row: Recommendation, order: Order) -> None:
    begun = replays.verify_recommendation(
        recommendation_id=row.pk,
        tenant_id=row.tenant_id,
        wanted=Wanted(),
        now=order.now,
        by=order.by,
        user_id=None,
    )
    for each in begun.generations:
        hint_generation(each)


def _act(service: Any) -> Any:
    def act(row: Recommendation, order: Order) -> None:
        service(recommendation_id=row.pk, tenant_id=row.tenant_id, by=order.by, now=order.now)

    return act


def _analyse(row: Recommendation, order: Order) -> None:
    hint_analysis(analyses.request_analysis(tenant_id=row.tenant_id, by=order.by).pk)


def _may_apply(row: Recommendation) -> bool:
    verified = row.kind != RecommendationKind.DEAR_MODEL or row.status == Status.VERIFIED
    return row.change is not None and row.status in _WAITS and verified


class ReplayInline(ReadOnlyInline):
    model = Replay
    fields = ["created_at", Badge("state", "state"), SCORE, Amount("cost", "cost"), "error"]
    readonly_fields = fields
    show_change_link = True


@admin.register(Recommendation)
class RecommendationAdmin(LongTableAdmin):
    empty_hint = "An analysis each night looks for what tenants might have for less."
    list_display = [
        "kind",
        "subject",
        STATUS,
        Amount("saves a month", "monthly_saving"),
        "confidence",
        Amount("measured", "measured_saving"),
        TENANT,
        "analysed_at",
    ]
    list_display_links = ["kind"]
    list_filter = [MadeInFilter, "status", "kind", "task_kind"]
    search_ids = ["pk", "tenant_id"]
    search_help_text = "8+ digits of its id or of a tenant"
    operations = [
        Operation(
            "verify",
            "Verify",
            "Asks a sample of past questions again of the cheaper model, within the tenant's budgets, and "
            "has the answers compared. It costs at most what HUNTAZE_REPLAY_MAX_COST says.",
            _verify,
            "Being verified",
            icon="science",
            when=lambda row: (
                bool(row.change) and "deployment" in row.change and row.status in (*_WAITS, Status.REJECTED)
            ),
        ),
        Operation(
            "apply",
            "Apply",
            "Sets it for the tenant's tasks of this kind, from the next second on. What was set before is "
            "kept, and can be set again.",
            _act(recommendations.apply_recommendation),
            "Applied",
            icon="done",
            when=_may_apply,
        ),
        Operation(
            "revert",
            "Revert",
            "Sets again what was set before. Refused if somebody has set something else since.",
            _act(recommendations.revert_recommendation),
            "Reverted",
            icon="undo",
            danger=True,
            when=lambda row: bool(row.status == Status.APPLIED),
        ),
        Operation(
            "dismiss",
            "Dismiss",
            "It is not recommended again for 30 days.",
            _act(recommendations.dismiss_recommendation),
            "Dismissed",
            icon="close",
            when=lambda row: row.status in (*_WAITS, Status.REJECTED),
        ),
        Operation(
            "analyse",
            "Analyse again",
            "Looks at the tenant's last 30 days anew.",
            _analyse,
            "To be analysed",
            icon="refresh",
        ),
    ]
    inlines = [ReplayInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Recommendation]:
        rows: Any = super().get_queryset(request)
        found: QuerySet[Recommendation] = rows.with_paid()
        return found

    fieldsets = [
        (None, {"fields": [(TENANT, "kind", "subject"), "advice", (STATUS, "remark")]}),
        (
            "What it would save",
            {
                "fields": [
                    (Amount("expected a month", "monthly_saving"), "analysed_at", "quiet_until"),
                    Reasons("confidence"),
                    Change("change", "change"),
                    Preformatted("evidence", "evidence"),
                ]
            },
        ),
        (
            "What it has saved",
            {
                "fields": [
                    ("applied_at", "applied_by", "reverted_at"),
                    (Change("before", "before"), Change("after", "after")),
                    (
                        Amount("measured", "measured_saving"),
                        Amount("predicted for as many calls", "predicted_saving"),
                        Amount("verification cost", "cost_of_replays"),
                        Roi("saved per dollar of verifying"),
                    ),
                    ("measured_at", "measured_calls", Amount("cost of these calls", "measured_cost")),
                    ("baseline_calls", Amount("cost of baseline calls", "baseline_cost")),
                ]
            },
        ),
    ]


class ItemInline(ReadOnlyInline):
    model = ReplayItem
    verbose_name_plural = "Questions"
    fields = [
        IdLink("question", "original_id", to="ai.generation", name=None),
        IdLink("asked again", "generation_id", to="ai.generation", name=None),
        IdLink("judged", "judge_id", to="ai.generation", name=None),
        Badge("state", "state"),
        "score",
        Preformatted("scores", "scores"),
        Amount("cost then", "original_cost"),
        Amount("cost", "cost"),
        "error",
    ]
    readonly_fields = fields


@admin.register(Replay)
class ReplayAdmin(LongTableAdmin):
    empty_hint = "Verifying a recommendation asks past questions again, and leaves a replay."
    list_display = [
        "created_at",
        RowLink("recommendation", "recommendation"),
        RowLink("deployment", "deployment"),
        Badge("state", "state"),
        SCORE,
        TENANT,
    ]
    list_select_related = ["recommendation", "deployment"]
    list_filter = [MadeInFilter, "state", "judged", "deployment"]
    search_ids = ["pk", "recommendation_id", "tenant_id"]
    search_help_text = "8+ digits of its id, recommendation or tenant"
    inlines = [ItemInline]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    (
                        TENANT,
                        RowLink("recommendation", "recommendation"),
                        RowLink("deployment", "deployment"),
                    ),
                    (Badge("state", "state"), SCORE, "threshold", "judged"),
                    (Amount("cost", "cost"), Amount("costs at most", "max_cost")),
                    ("requested_by", "created_at", "finished_at"),
                    "error",
                ]
            },
        )
    ]


@admin.register(ReplayItem)
class ReplayItemAdmin(LongTableAdmin):
    empty_hint = "Each question of a replay is a row."
    list_display = [
        ShortId(),
        IdLink("replay", "replay_id", to="ai.replay", name=None),
        Badge("state", "state"),
        "score",
        Amount("cost then", "original_cost"),
        Amount("cost", "cost"),
        TENANT,
    ]
    list_filter = [MadeInFilter, "state"]
    search_ids = ["pk", "replay_id", "tenant_id"]
    search_help_text = "8+ digits of its id, or of a replay or tenant"
    fieldsets = [(None, {"fields": [TENANT, RowLink("replay", "replay"), *ItemInline.fields]})]


@admin.register(Analysis)
class AnalysisAdmin(LongTableAdmin):
    empty_hint = "Each night, and on demand, a tenant's questions are looked at."
    list_display = [
        ShortId(),
        Badge("state", "state"),
        "generations",
        "is_sample",
        "found",
        TENANT,
        "created_at",
        "finished_at",
    ]
    list_filter = [MadeInFilter, "state", "is_sample"]
    search_ids = ["pk", "tenant_id"]
    search_help_text = "8+ digits of its id or of a tenant"
    lists = [ListLink("the tenant's recommendations", "ai.recommendation", tenant_id="tenant_id")]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    (TENANT, Badge("state", "state"), *lists),
                    ("generations", "is_sample", "since", "found"),
                    ("requested_by", "created_at", "finished_at", "attempts", "lease_expires_at"),
                    "error",
                ]
            },
        )
    ]
