from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.common.admin.base import Admin, LongTableAdmin, ReadOnlyInline
from apps.common.admin.columns import (
    EMPTY,
    TENANT,
    Amount,
    Badge,
    Column,
    IdLink,
    Mark,
    RowLink,
    change_url,
    link,
    short,
)
from apps.common.admin.filters import MadeInFilter
from apps.costs.models import Budget, BudgetCounter, BudgetPeriod, BudgetScope, Hold, LedgerEntry, Price
from apps.costs.services.budgets import change_budget, change_time_zone, create_budget
from apps.tenants.admin.forms import TenantChoice
from apps.tenants.admin.tenants import TenantAdmin
from apps.tenants.models import Tenant

GENERATION = IdLink("generation", "generation_id", to="ai.generation", name=None)
ACCOUNT = IdLink("account", "account_id", to="messaging.account")
CAMPAIGN = IdLink("campaign", "campaign_id", to="campaigns.campaign")
USER = IdLink("user", "user_id", to="tenants.user", name="email")


admin.site.unregister(Tenant)


@admin.register(Tenant)
class TenantWithCalendarAdmin(TenantAdmin):
    """A tenant whose time zone may change, which moves the periods of its budgets."""

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        if change and "time_zone" in form.changed_data:
            change_time_zone(tenant=obj, time_zone=obj.time_zone, now=timezone.now())
        super().save_model(request, obj, form, change)


@admin.register(Price)
class PriceAdmin(Admin):
    """A price that entries point at never changes: a new one starts later."""

    deletable = True
    empty_hint = "A model without a price is refused. Add one, or run: manage.py ensure_deployments"
    rates = [
        Amount("input per million", "input_per_million"),
        Amount("cached input per million", "cached_input_per_million"),
        Amount("output per million", "output_per_million"),
    ]
    list_display = ["provider", "model", *rates, "starts_at"]
    list_filter = ["provider", "currency"]
    search_fields = ["provider", "model"]
    search_ids = []
    search_help_text = "Provider or model"
    readonly_fields = rates
    fieldsets = [(None, {"fields": [("provider", "model"), tuple(rates), "starts_at"]})]
    add_fieldsets = [
        (
            None,
            {
                "fields": [
                    ("provider", "model"),
                    ("input_per_million", "cached_input_per_million", "output_per_million"),
                    "starts_at",
                ],
                "description": "A price holds until the next one starts. It never changes: add a new one.",
            },
        )
    ]

    def has_change_permission(self, request: object, obj: Price | None = None) -> bool:
        return False


@admin.register(Hold)
class HoldAdmin(LongTableAdmin):
    empty_hint = "Every attempt at a provider first sets its greatest possible cost aside."
    list_display = [
        GENERATION,
        "attempt",
        Badge("state", "state"),
        Amount("bound", "bound"),
        "provider",
        "model",
        TENANT,
        "expires_at",
        "ended_at",
    ]
    list_display_links = ["attempt"]
    list_filter = [MadeInFilter, "state", "provider", "model"]
    search_ids = ["pk", "generation_id"]
    search_help_text = "8+ digits of the generation's id or the row's own"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    TENANT,
                    (GENERATION, "attempt"),
                    (Badge("state", "state"), Amount("bound", "bound")),
                ]
            },
        ),
        ("Price", {"fields": [("provider", "model", "task_kind"), "price"]}),
        ("For", {"fields": [(ACCOUNT, CAMPAIGN, USER)]}),
        ("Times", {"fields": [("occurred_at", "expires_at", "ended_at")]}),
    ]


@admin.register(LedgerEntry)
class LedgerEntryAdmin(LongTableAdmin):
    empty_hint = "The first call to a provider makes the first entry."
    ordering = ("-occurred_at", "-pk")
    list_display = [
        "occurred_at",
        Amount("amount", "amount"),
        "provider",
        "model",
        "task_kind",
        "input_tokens",
        "output_tokens",
        Mark("estimated", "estimated"),
        GENERATION,
        CAMPAIGN,
        TENANT,
    ]
    list_filter = ["provider", "model", "task_kind", "estimated"]
    search_ids = ["generation_id", "campaign_id", "tenant_id"]
    search_help_text = "8+ digits of a generation, campaign or tenant"
    fieldsets = [
        (
            None,
            {"fields": [TENANT, ("occurred_at", Amount("amount", "amount"), Mark("estimated", "estimated"))]},
        ),
        (
            "Attempt",
            {"fields": [(GENERATION, "attempt", "sequence"), ("provider", "model", "task_kind"), "price"]},
        ),
        ("Usage", {"fields": [("input_tokens", "cached_tokens", "output_tokens")]}),
        ("For", {"fields": [(ACCOUNT, CAMPAIGN, USER)]}),
    ]


class CounterInline(ReadOnlyInline):
    model = BudgetCounter
    fields = ["period_start", Amount("spent", "spent"), Amount("held", "held")]
    readonly_fields = fields
    max_num = 12


class BudgetForm(TenantChoice):
    """What it is for is settled when it is made; how much may change."""

    class Meta:
        model = Budget
        fields = [
            "tenant",
            "scope",
            "scope_id",
            "provider",
            "period",
            "limit",
            "hard_stop",
            "thresholds",
            "is_active",
        ]
        widgets = {"thresholds": UnfoldAdminTextInputWidget()}


class ScopeLink(Column):
    """A link to whom or what a budget is for, where that is a row."""

    labels: ClassVar = {
        BudgetScope.ACCOUNT: "messaging.account",
        BudgetScope.CAMPAIGN: "campaigns.campaign",
        BudgetScope.USER: "tenants.user",
    }

    def __call__(self, budget: Any) -> str:
        label = self.labels.get(budget.scope)
        if label is None or budget.scope_id is None:
            return budget.provider or EMPTY
        return link(change_url(label, budget.scope_id), short(budget.scope_id), title=str(budget.scope_id))


WHAT_FOR = ScopeLink("for")


@admin.register(Budget)
class BudgetAdmin(Admin):
    form = BudgetForm
    empty_hint = (
        "Without a budget nothing limits the spend. Add one for a tenant, account, campaign or provider."
    )
    list_display = [
        TENANT,
        "scope",
        WHAT_FOR,
        "period",
        Amount("limit", "limit"),
        "hard_stop",
        "is_active",
        "created_at",
    ]
    list_display_links = ["scope"]
    list_filter = ["scope", "period", "hard_stop", "is_active"]
    search_ids = ["pk", "tenant_id", "scope_id"]
    search_help_text = "8+ digits of a tenant or of what it is for"
    inlines = [CounterInline]
    add_fieldsets = [
        ("What for", {"fields": ["tenant", "scope", ("scope_id", "provider")]}),
        ("How much", {"fields": [("limit", "period"), "hard_stop", "thresholds", "is_active"]}),
    ]
    fieldsets = [
        ("What for", {"fields": [(TENANT, "scope", WHAT_FOR)]}),
        ("How much", {"fields": [("limit", "currency", "period"), "hard_stop", "thresholds", "is_active"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> list[Any]:
        fixed = ["scope", "currency", "period"] if obj else []
        return [TENANT, WHAT_FOR, *fixed]

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        """Through the services, which seed the counter with what the period has already spent."""
        if change:
            change_budget(
                budget=obj,
                now=timezone.now(),
                limit=obj.limit,
                hard_stop=obj.hard_stop,
                thresholds=obj.thresholds,
                is_active=obj.is_active,
            )
            return
        made = create_budget(
            tenant_id=obj.tenant_id,
            now=timezone.now(),
            scope=BudgetScope(obj.scope),
            scope_id=obj.scope_id,
            provider=obj.provider,
            period=BudgetPeriod(obj.period),
            limit=obj.limit,
            hard_stop=obj.hard_stop,
            thresholds=obj.thresholds,
        )
        obj.pk = made.pk
        if not obj.is_active:
            change_budget(budget=made, is_active=False, now=timezone.now())


@admin.register(BudgetCounter)
class BudgetCounterAdmin(LongTableAdmin):
    empty_hint = "The first hold in a budget's period makes its counter."
    list_display = [
        RowLink("budget", "budget"),
        "period_start",
        Amount("spent", "spent"),
        Amount("held", "held"),
        TENANT,
    ]
    list_display_links = ["period_start"]
    list_select_related = ["budget"]
    search_ids = ["pk", "budget_id", "tenant_id"]
    search_help_text = "8+ digits of the budget's or the tenant's id"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    TENANT,
                    "budget",
                    "period_start",
                    (Amount("spent", "spent"), Amount("held", "held")),
                ]
            },
        )
    ]
