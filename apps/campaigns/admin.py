from collections.abc import Callable

from django.contrib import admin
from unfold.decorators import display

from apps.campaigns.hints import hint_campaign
from apps.campaigns.models import Campaign, CampaignAccount, CampaignStatus, WorkflowStep
from apps.campaigns.services import control
from apps.common.admin.base import LongTableAdmin, ReadOnlyInline
from apps.common.admin.columns import EMPTY, TENANT, Badge, ListLink, RowLink, badge
from apps.common.admin.filters import MadeInFilter
from apps.common.admin.operations import Operation, Order
from apps.messaging.admin.remarks import on_their_way
from apps.messaging.hints import hint_resumed


def _act(service: Callable[..., object], *, hint: bool = False) -> Callable[[Campaign, Order], object]:
    def act(campaign: Campaign, order: Order) -> object:
        why = {"reason": order.reason} if order.reason else {}
        result = service(tenant_id=campaign.tenant_id, campaign_id=campaign.pk, now=order.now, **why)
        if hint:
            hint_campaign(campaign.pk)
        return result

    return act


def _resume(campaign: Campaign, order: Order) -> None:
    _act(control.resume_campaign, hint=True)(campaign, order)
    hint_resumed()


def _awaits_approval(campaign: Campaign) -> bool:
    return campaign.status == CampaignStatus.AWAITING_APPROVAL and not campaign.approved_at


class StepInline(ReadOnlyInline):
    model = WorkflowStep
    fields = ["name", Badge("status", "status"), "started_at", "finished_at", "error"]
    readonly_fields = fields


class AccountInline(ReadOnlyInline):
    model = CampaignAccount
    fields = [RowLink("account", "account")]
    readonly_fields = fields
    verbose_name_plural = "accounts"

    def get_queryset(self, request: object) -> object:
        return super().get_queryset(request).select_related("account")


@admin.register(Campaign)
class CampaignAdmin(LongTableAdmin):
    empty_hint = "Campaigns are started with POST /api/v2/campaigns/hybrid."
    list_display = [
        "name",
        Badge("status", "status"),
        "sending",
        "type",
        "approval",
        TENANT,
        "progress",
        "priority",
        "created_at",
    ]
    list_filter = [
        MadeInFilter,
        "status",
        "type",
        "approval",
        "personalisation",
        ("outbox__paused_at", admin.EmptyFieldListFilter),
    ]
    list_select_related = ["outbox"]
    date_hierarchy = "created_at"
    search_fields = ["name"]
    search_ids = ["pk", "tenant_id"]
    search_help_text = "Name, or 8+ digits of its id or a tenant's"
    operations = [
        Operation(
            "approve",
            "Approve",
            "Its messages are queued and sent, under the accounts' limits.",
            _act(control.approve_campaign, hint=True),
            "Approved",
            icon="thumb_up",
            when=_awaits_approval,
        ),
        Operation(
            "reject",
            "Reject",
            "Nothing of it is sent; it ends as cancelled, with your reason.",
            _act(control.reject_campaign),
            "Rejected",
            icon="thumb_down",
            danger=True,
            when=_awaits_approval,
            asks_why=True,
        ),
        Operation(
            "pause",
            "Pause",
            "Nothing more of it is sent, but what is on its way already.",
            _act(control.pause_campaign),
            "Paused",
            icon="pause",
            remark=lambda results: on_their_way(sum(in_flight for _, in_flight in results)),
            when=lambda campaign: not (campaign.finished_at or campaign.outbox.paused_at),
        ),
        Operation(
            "resume",
            "Resume",
            "It goes on where it was paused.",
            _resume,
            "Resumed",
            when=lambda campaign: bool(campaign.outbox.paused_at and not campaign.finished_at),
        ),
        Operation(
            "cancel",
            "Cancel",
            "Nothing more of it is ever sent, but what is on its way already. It can't be undone.",
            _act(control.cancel_campaign),
            "Cancelled",
            icon="cancel",
            danger=True,
            when=lambda campaign: not campaign.finished_at,
        ),
    ]
    inlines = [StepInline, AccountInline]
    lists = [
        ListLink("messages", "messaging.message", outbox__id__exact="outbox_id"),
        ListLink("archived ones too", "messaging.messagerecord", outbox__id__exact="outbox_id"),
        ListLink("contents", "content.content", campaign_id="pk"),
        ListLink("generations", "ai.generation", campaign_id="pk"),
        ListLink("ledger entries", "costs.ledgerentry", campaign_id="pk"),
    ]
    fieldsets = [
        (None, {"fields": [("id", Badge("status", "status"), "sending"), (TENANT, "outbox"), tuple(lists)]}),
        ("What", {"fields": ["name", ("type", "tone", "price"), "brief", "segment"]}),
        ("How", {"fields": [("personalisation", "approval", "priority", "not_before")]}),
        ("Plan", {"fields": ["plan_generation", "plan"]}),
        ("Course", {"fields": [("progress", "created_at", "approved_at", "finished_at"), "reason"]}),
    ]

    @display(description="sending")
    def sending(self, campaign: Campaign) -> str:
        return badge("paused", "paused") if campaign.outbox.paused_at and not campaign.finished_at else EMPTY

    @display(description="sent")
    def progress(self, campaign: Campaign) -> str:
        box = campaign.outbox
        total = box.queued + box.sending + box.sent + box.unknown + box.dead + box.cancelled
        return f"{box.sent:,} of {total:,}" if total else EMPTY


@admin.register(WorkflowStep)
class WorkflowStepAdmin(LongTableAdmin):
    empty_hint = "A campaign goes through steps: plan, personalise, approve, dispatch, finish."
    list_display = [
        "name",
        Badge("status", "status"),
        RowLink("campaign", "campaign"),
        TENANT,
        "started_at",
        "finished_at",
        "error",
    ]
    list_filter = ["status", "name"]
    list_select_related = ["campaign"]
    search_ids = ["pk", "campaign_id", "tenant_id"]
    search_help_text = "8+ digits of its id, or of a campaign or tenant"
    fieldsets = [
        (None, {"fields": [(TENANT, "campaign"), ("name", Badge("status", "status"), "position")]}),
        ("Course", {"fields": [("started_at", "finished_at"), "error", "cursor"]}),
    ]


@admin.register(CampaignAccount)
class CampaignAccountAdmin(LongTableAdmin):
    empty_hint = "Which accounts a campaign writes to."
    list_display = [
        "pk",
        RowLink("campaign", "campaign"),
        RowLink("account", "account"),
        TENANT,
        "created_at",
    ]
    list_select_related = ["campaign", "account"]
    search_ids = ["pk", "campaign_id", "account_id"]
    search_help_text = "8+ digits of a campaign's or an account's id"
    fieldsets = [(None, {"fields": ["campaign", "account", TENANT, "created_at"]})]
