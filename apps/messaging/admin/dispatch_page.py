"""The page Dispatch: how full the limits are, and what each account has still to send until when."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Count, Exists, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.safestring import SafeString
from unfold.decorators import display

from apps.common.admin.base import ReadOnlyAdmin
from apps.common.admin.columns import EMPTY, TENANT, Column, badge, link
from apps.messaging.admin.dispatch_panel import Panel, panel
from apps.messaging.models import Account, Message, MessageState
from apps.messaging.services import stats
from apps.messaging.services.layers import Subject
from apps.messaging.services.stats import AccountFigures, Reading
from apps.tenants.system import system_transaction

_WAITS = {
    "account_paused": "the account is paused",
    "tenant_paused": "the tenant is paused",
    "platform_paused": "the platform is paused",
    "platform_not_connected": "the platform has no address",
    "breaker_open": "the platform's breaker is open",
    "limit": "its limit",
    "not_before": "the messages' own time",
    "quiet_hours": "quiet hours",
    "blocked": "the platform asked for patience",
}


class DispatchLink(Column):
    """From an account to its line of the page."""

    def __init__(self) -> None:
        super().__init__("dispatch")

    def __call__(self, row: Any) -> SafeString:
        return link(f"{reverse('admin:messaging_dispatch')}?with=all&q={row.pk}", "Show limits and backlog")


class WithFilter(admin.SimpleListFilter):
    """Which accounts are listed; those with something queued unless another choice is made."""

    title = "messages"
    parameter_name = "with"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return [("sending", "on their way"), ("unknown", "with unknown outcome"), ("all", "any or none")]

    def choices(self, changelist: Any) -> Any:
        for choice in super().choices(changelist):
            yield {**choice, "display": "queued"} if choice["display"] == "All" else choice

    def queryset(self, request: HttpRequest, queryset: QuerySet[Account]) -> QuerySet[Account]:
        chosen = self.value() or MessageState.QUEUED.value
        if chosen == "all":
            return queryset
        return queryset.filter(Exists(Message.objects.filter(account=OuterRef("pk"), state=chosen)))


def _number(state: MessageState) -> Coalesce:
    """For sorting alone: it counts every account's messages in a state."""
    own = Message.objects.filter(account=OuterRef("pk"), state=state).order_by().values("account")
    return Coalesce(Subquery(own.annotate(number=Count("*")).values("number"), IntegerField()), 0)


class DispatchAdmin(ReadOnlyAdmin):
    """A second list of the accounts, with what limiter and queues say of each. Made for one request."""

    empty_hint = "Nothing is queued. Choose “any or none” among the filters to see every account."
    list_before_template = "admin/dispatch_panel.html"
    list_display = [
        "account",
        TENANT,
        "platform",
        "slots",
        "next_slot",
        "queued",
        "sending",
        "unknown",
        "next_send",
        "eta",
    ]
    list_display_links = None
    list_filter = [WithFilter, "platform", ("paused_at", admin.EmptyFieldListFilter)]
    search_fields = ["name", "external_id"]
    search_ids = ["pk", "tenant_id"]
    search_help_text = "Name, platform's id, or 8+ digits of an account's or tenant's id"
    ordering = ["next_due", "pk"]
    actions = None
    panel: Panel | None = None

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.figures: dict[Any, AccountFigures] = {}

    @display(description="account", ordering="name")
    def account(self, account: Account) -> SafeString:
        return link(reverse("admin:messaging_account_change", args=[account.pk]), account.name)

    @display(description="slots taken", ordering="limit_count")
    def slots(self, account: Account) -> str:
        standing = self.figures[account.pk].standing
        return f"{standing.used} of {standing.limit.count} in {standing.limit.seconds:g} s"

    @display(description="next slot")
    def next_slot(self, account: Account) -> str:
        return instant(self.figures[account.pk].outlook.next_slot_at, self._now)

    @display(description="queued", ordering=_number(MessageState.QUEUED))
    def queued(self, account: Account) -> str:
        backlog = self.figures[account.pk].backlog
        return f"{backlog.queued:,}" + (f" + {backlog.held:,} held" if backlog.held else "")

    @display(description="sending", ordering=_number(MessageState.SENDING))
    def sending(self, account: Account) -> str:
        return f"{self.figures[account.pk].backlog.sending:,}"

    @display(description="unknown", ordering=_number(MessageState.UNKNOWN))
    def unknown(self, account: Account) -> str:
        return f"{self.figures[account.pk].backlog.unknown:,}"

    @display(description="goes on", ordering="next_due")
    def next_send(self, account: Account) -> str:
        outlook = self.figures[account.pk].outlook
        why = _WAITS.get(outlook.waits_for, outlook.waits_for)
        if outlook.next_send_at is None:
            return badge("paused", why) if why else EMPTY
        return f"{instant(outlook.next_send_at, self._now)}{f' ({why})' if why else ''}"

    @display(description="done by")
    def eta(self, account: Account) -> str:
        eta = self.figures[account.pk].outlook.eta
        return instant(eta, self._now) if eta else EMPTY

    def show(self, reading: Reading, standings: dict[Subject, Any], found: Panel, *, now: datetime) -> None:
        self._now, self.panel = now, found
        self.figures = {each.account.pk: each for each in reading.figures(standings, now=now)}


def instant(when: datetime, now: datetime) -> str:
    """A time as a person reads it: the day only where it isn't today's."""
    if when <= now:
        return "now"
    return formats.date_format(when, "H:i:s" if when.date() == now.date() else "DATETIME_FORMAT")


def dispatch_page(request: HttpRequest) -> HttpResponseBase:
    """The list of accounts below the panel. The limiter is asked between two transactions."""
    page, now = DispatchAdmin(Account, admin.site), timezone.now()
    with system_transaction():
        response: HttpResponseBase = page.changelist_view(request, {"title": "Dispatch"})
        if not isinstance(response, SimpleTemplateResponse) or response.context_data is None:
            return response
        listed = response.context_data["cl"]
        listed.result_list = list(listed.result_list)
        reading = stats.read(
            listed.result_list, tenant_ids={row.tenant_id for row in listed.result_list}, now=now
        )
        found = panel(reading.situation, now=now)
    standings = stats.standings(reading, found.subjects, now=now)
    with system_transaction():
        found.fill(standings, now=now)
        page.show(reading, standings, found, now=now)
        response.render()
    return response


dispatch_page.opens_doors_itself = True  # type: ignore[attr-defined]  # the admin site reads it
