from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from apps.common.admin.base import Admin, LongTableAdmin, ReadOnlyInline
from apps.common.admin.columns import (
    EMPTY,
    TENANT,
    Amount,
    Column,
    RowLink,
    change_url,
    link,
    short,
)
from apps.costs.models import Budget, BudgetCounter, BudgetPeriod, BudgetScope
from apps.costs.price_list import PROVIDERS
from apps.costs.services.budgets import change_budget, create_budget
from apps.tenants.admin.forms import TenantChoice

_PROVIDERS = [("", "None"), *((each, each) for each in PROVIDERS)]


class CounterInline(ReadOnlyInline):
    model = BudgetCounter
    fields = ["period_start", Amount("spent", "spent"), Amount("held", "held")]
    readonly_fields = fields
    per_page = 12


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
        widgets = {
            "provider": UnfoldAdminSelectWidget(choices=_PROVIDERS),
            "thresholds": UnfoldAdminTextInputWidget(),
        }


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
