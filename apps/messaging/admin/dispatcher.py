"""What the dispatcher says of itself: platforms, workers, the limiter's epoch, blocked layers."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from apps.common.admin.base import ReadOnlyAdmin
from apps.common.admin.columns import EMPTY, Badge, badge, row_link
from apps.common.admin.operations import Operation, Order
from apps.messaging.admin.remarks import in_flight
from apps.messaging.hints import hint_resumed
from apps.messaging.models import (
    BreakerState,
    DispatchEpoch,
    DispatchWorker,
    Layer,
    PlatformState,
    SendBlock,
)
from apps.messaging.services.platforms import close_breaker, make_rows, pause_platform, resume_platform
from apps.messaging.services.situation import ALIVE_FOR


def _pause(state: PlatformState, order: Order) -> int:
    reason = order.reason or f"Paused by {order.by}."
    return pause_platform(platform=state.platform, reason=reason, now=order.now)


def _resume(state: PlatformState, order: Order) -> None:
    resume_platform(platform=state.platform)
    hint_resumed()


def _close(state: PlatformState, order: Order) -> None:
    close_breaker(platform=state.platform)
    hint_resumed()


@admin.register(PlatformState)
class PlatformStateAdmin(ReadOnlyAdmin):
    empty_hint = "Every platform has a row here."
    list_display = ["__str__", "state", "breaker_state", "failures", "open_until", "pause_reason"]
    list_filter = ["breaker", ("paused_at", admin.EmptyFieldListFilter)]
    search_exact = ["platform"]
    search_ids = []
    search_help_text = "Platform, as in the API"
    ordering = ["platform"]
    operations = [
        Operation(
            "pause",
            "Pause",
            "Nothing is sent on this platform, for any tenant, until it is resumed.",
            _pause,
            "Paused",
            icon="pause",
            danger=True,
            when=lambda state: not state.paused_at,
            asks_why=True,
            remark=in_flight,
        ),
        Operation(
            "resume",
            "Resume",
            "What is queued is sent again.",
            _resume,
            "Resumed",
            when=lambda state: bool(state.paused_at),
        ),
        Operation(
            "close_breaker",
            "Close the breaker now",
            "Sends at full pace without trying first if the platform works again.",
            _close,
            "Closed",
            icon="power",
            danger=True,
            when=lambda state: state.breaker != BreakerState.CLOSED,
        ),
    ]
    fieldsets = [
        (None, {"fields": [("platform", "state", "paused_at"), "pause_reason"]}),
        (
            "Breaker",
            {
                "fields": [("breaker_state", "open_until"), ("failures", "openings")],
                "description": "It opens after some failures in a row: connections that aren't made, answers "
                "of 5xx. Then one message at a time tries; the first answer closes it.",
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PlatformState]:
        """Of every platform, also of one that nothing has happened to yet."""
        make_rows()
        rows: QuerySet[PlatformState] = super().get_queryset(request)
        return rows

    @display(description="state", ordering="paused_at")
    def state(self, state: PlatformState) -> str:
        return badge("paused", "paused") if state.paused_at else badge("active", "active")

    @display(description="breaker", ordering="breaker")
    def breaker_state(self, state: PlatformState) -> str:
        tone = {BreakerState.CLOSED: "active", BreakerState.OPEN: "open"}.get(
            BreakerState(state.breaker), "warning"
        )
        return badge(tone, state.get_breaker_display())


@admin.register(DispatchWorker)
class DispatchWorkerAdmin(ReadOnlyAdmin):
    empty_hint = "A worker of the queue “dispatch” reports here every second."
    list_display = ["name", "state", "seen_at", "redis_at", "skew", "holds"]
    search_fields = ["name"]
    search_help_text = "Name, or 8+ digits of its id"
    ordering = ["-seen_at"]
    sortable_by = ()
    fieldsets = [
        (None, {"fields": [("name", "state"), ("seen_at", "redis_at", "redis_since"), "skew", "holds"]})
    ]

    @display(description="state")
    def state(self, worker: DispatchWorker) -> str:
        if timezone.now() - worker.seen_at > ALIVE_FOR:
            return badge("failed", "silent")
        return badge("paused", "holds") if worker.holds else badge("active", "alive")

    @display(description="Redis's clock is ahead by")
    def skew(self, worker: DispatchWorker) -> str:
        """An interval, since both clocks are read over a network."""
        if worker.skew_low_us is None or worker.skew_high_us is None:
            return EMPTY
        return f"{worker.skew_low_us / 1000:.1f} to {worker.skew_high_us / 1000:.1f} ms"


@admin.register(DispatchEpoch)
class DispatchEpochAdmin(ReadOnlyAdmin):
    empty_hint = "The limiter's epoch is written by the first claim."
    list_display = ["number", Badge("mode", "mode"), "reason", "changed_at"]
    search_ids = []
    search_exact = ["reason"]
    search_help_text = "Reason"
    ordering = ["pk"]
    fieldsets = [(None, {"fields": [("number", Badge("mode", "mode"), "changed_at"), "reason"]})]


@admin.register(SendBlock)
class SendBlockAdmin(ReadOnlyAdmin):
    empty_hint = "No limit above the accounts is reached: nothing is passed over."
    list_display = ["__str__", "layer", "whose", "until", "ended"]
    list_filter = ["layer"]
    search_ids = ["pk", "subject_id"]
    search_help_text = "8+ digits of its id, or of a user or tenant"
    ordering = ["-until", "pk"]
    fieldsets = [(None, {"fields": [("layer", "whose"), ("until", "ended")]})]

    @display(description="for", ordering="subject_id")
    def whose(self, block: SendBlock) -> str:
        if not block.subject_id:
            return EMPTY
        to = "tenants.user" if block.layer == Layer.USER else "tenants.tenant"
        return row_link(to, block.subject_id)

    @display(description="state")
    def ended(self, block: SendBlock) -> str:
        over = block.until <= timezone.now()
        return badge("done", "over") if over else badge("paused", "blocked")
