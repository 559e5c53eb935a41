from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.postgres.forms import SimpleArrayField
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from apps.common.admin.base import Admin, LongTableAdmin, ReadOnlyInline
from apps.common.admin.columns import (
    EMPTY,
    TENANT,
    Amount,
    Badge,
    Column,
    RowLink,
    row_link,
)
from apps.costs.admin.gauges import GAUGE, SHADOW
from apps.costs.admin.subject_search import URL_NAME, SubjectSelect, chosen, found_subjects
from apps.costs.models import (
    Budget,
    BudgetCounter,
    BudgetMode,
    BudgetPeriod,
    BudgetScope,
    default_thresholds,
)
from apps.costs.price_list import PROVIDERS
from apps.costs.services.budgets import ALREADY_THERE, BELOW_ZERO, change_budget, create_budget
from apps.costs.subjects import subject_problem
from apps.costs.thresholds import HIGHEST, LOWEST
from apps.tenants.admin.forms import TenantChoice

_PERCENTAGES = f"Give whole percentages from {LOWEST} to {HIGHEST}, as in 50, 80, 100."
_PROVIDERS = [("", "None"), *((each, each) for each in PROVIDERS)]


class CounterInline(ReadOnlyInline):
    model = BudgetCounter
    fields = [
        "period_start",
        Amount("spent", "spent"),
        Amount("held", "held"),
        "shadow_calls",
        Amount("shadow amount", "shadow_amount"),
    ]
    readonly_fields = fields
    per_page = 12

    def get_queryset(self, request: HttpRequest) -> QuerySet[BudgetCounter]:
        # Its amounts are in the budget's currency.
        counters: QuerySet[BudgetCounter] = super().get_queryset(request)
        return counters.select_related("budget")


class BudgetForm(TenantChoice):
    """What it is for is settled when it is made; how much may change."""

    # Without a range of its own, so that the model's words are the only ones.
    thresholds = SimpleArrayField(
        forms.IntegerField(error_messages={"invalid": _PERCENTAGES, "required": _PERCENTAGES}),
        required=False,
        initial=default_thresholds,
        error_messages={"item_invalid": "Number %(nth)s:"},
        help_text=Budget._meta.get_field("thresholds").help_text,
        widget=UnfoldAdminTextInputWidget(),
    )

    class Meta:
        model = Budget
        fields = [
            "tenant",
            "scope",
            "scope_id",
            "provider",
            "period",
            "limit",
            "mode",
            "thresholds",
            "is_active",
        ]
        widgets = {"provider": UnfoldAdminSelectWidget(choices=_PROVIDERS), "scope_id": SubjectSelect()}
        labels: ClassVar = {"scope_id": "Account, campaign or user"}
        help_texts: ClassVar = {"scope_id": "For a budget of that scope: one of the tenant's."}
        error_messages = {NON_FIELD_ERRORS: {"unique_together": ALREADY_THERE}}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "scope_id" in self.fields:  # until it is made
            given = [self[name].value() for name in ("tenant", "scope", "scope_id")]
            self.fields["scope_id"].widget.choices = [("", ""), *chosen(*given)]

    def clean_limit(self) -> Decimal:
        limit: Decimal = self.cleaned_data["limit"]
        if limit < 0:
            raise forms.ValidationError(BELOW_ZERO)
        return limit

    def _post_clean(self) -> None:
        super()._post_clean()
        # After the row's own checks, which would miss the id that this takes away.
        given = self.cleaned_data
        tenant, scope, scope_id = given.get("tenant"), given.get("scope", ""), given.get("scope_id")
        if tenant and (problem := subject_problem(tenant_id=tenant.pk, scope=scope, scope_id=scope_id)):
            self.add_error("scope_id", problem)


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
        return row_link(label, budget.scope_id, name=budget.scope_name)


WHAT_FOR = ScopeLink("for")


@admin.register(Budget)
class BudgetAdmin(Admin):
    form = BudgetForm
    empty_hint = (
        "Without a budget nothing limits the spend. Add one for a tenant, account, campaign, user or "
        "provider; in shadow mode it shows what it would stop before it stops anything."
    )
    list_display = [
        "scope",
        WHAT_FOR,
        TENANT,
        "period",
        Amount("limit", "limit"),
        GAUGE,
        Badge("mode", "mode"),
        SHADOW,
        "is_active",
    ]
    list_filter = ["scope", "period", "mode", "is_active"]
    search_ids = ["pk", "tenant_id", "scope_id"]
    search_help_text = "8+ digits of a tenant or of what it is for"
    inlines = [CounterInline]
    add_fieldsets = [
        ("What for", {"fields": ["tenant", "scope", ("scope_id", "provider")]}),
        ("How much", {"fields": [("limit", "period"), "mode", "thresholds", "is_active"]}),
    ]
    fieldsets = [
        ("What for", {"fields": [(TENANT, "scope", WHAT_FOR)]}),
        ("This period", {"fields": [(GAUGE, SHADOW)]}),
        ("How much", {"fields": [("limit", "currency", "period"), "mode", "thresholds", "is_active"]}),
    ]

    def get_urls(self) -> list[Any]:
        search = self.admin_site.admin_view(self._found_subjects)
        return [path("subjects/", search, name=URL_NAME), *super().get_urls()]

    def _found_subjects(self, request: HttpRequest) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return found_subjects(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> list[Any]:
        fixed = ["scope", "currency", "period"] if obj else []
        return [TENANT, WHAT_FOR, GAUGE, SHADOW, *fixed]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Budget]:
        rows: Any = super().get_queryset(request)
        found: QuerySet[Budget] = rows.with_present(at=timezone.now()).with_scope_names()
        return found

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        """Through the services, which seed the counter with what the period has already spent."""
        if change:
            change_budget(
                budget=obj,
                now=timezone.now(),
                limit=obj.limit,
                mode=BudgetMode(obj.mode),
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
            mode=BudgetMode(obj.mode),
            thresholds=obj.thresholds,
            is_active=obj.is_active,
        )
        obj.pk = made.pk


@admin.register(BudgetCounter)
class BudgetCounterAdmin(LongTableAdmin):
    empty_hint = "The first hold in a budget's period makes its counter."
    list_display = [
        "period_start",
        RowLink("budget", "budget"),
        Amount("spent", "spent"),
        Amount("held", "held"),
        "shadow_calls",
        Amount("shadow amount", "shadow_amount"),
        TENANT,
    ]
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
                    ("shadow_calls", Amount("shadow amount", "shadow_amount")),
                    ("raised_at", Amount("raised by", "raised_by")),
                ]
            },
        )
    ]
