from decimal import Decimal

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from apps.common.fields import CurrencyField, MoneyField
from apps.common.models import TenantOwned, is_one_of
from apps.common.money import LEDGER_CURRENCY, plain
from apps.costs.price_list import PROVIDERS


class BudgetScope(models.TextChoices):
    TENANT = "tenant"
    ACCOUNT = "account"
    CAMPAIGN = "campaign"
    USER = "user"
    PROVIDER = "provider"


class BudgetPeriod(models.TextChoices):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def default_thresholds() -> list[int]:
    return [50, 80, 100]


class Budget(TenantOwned):
    """A ceiling on what may be spent in each period of the tenant's calendar."""

    tenant_id = models.UUIDField()
    scope = models.CharField(max_length=16, choices=BudgetScope, default=BudgetScope.TENANT)
    scope_id = models.UUIDField(null=True, blank=True, help_text="The account, campaign or user.")
    provider = models.CharField(max_length=32, blank=True, help_text="For a provider's budget.")
    period = models.CharField(max_length=8, choices=BudgetPeriod, default=BudgetPeriod.MONTH)
    limit = MoneyField()
    currency = CurrencyField()
    hard_stop = models.BooleanField(
        default=True, help_text="Refuse what would exceed the limit; otherwise only alert."
    )
    thresholds = ArrayField(
        models.PositiveSmallIntegerField(),
        default=default_thresholds,
        blank=True,
        help_text="Percentages of the limit at which to alert.",
    )
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "scope", "scope_id", "provider", "period"],
                name="budget_unique",
                nulls_distinct=False,
            ),
            is_one_of("scope", BudgetScope, table="budget"),
            is_one_of("period", BudgetPeriod, table="budget"),
            models.CheckConstraint(condition=Q(limit__gte=0), name="budget_not_negative"),
            models.CheckConstraint(condition=Q(currency=LEDGER_CURRENCY), name="budget_in_ledger_currency"),
            models.CheckConstraint(
                condition=(Q(scope="tenant") & Q(scope_id__isnull=True, provider=""))
                | (Q(scope="provider", scope_id__isnull=True) & ~Q(provider=""))
                | (Q(scope__in=["account", "campaign", "user"], scope_id__isnull=False, provider="")),
                name="budget_names_its_scope",
            ),
        ]

    def __str__(self) -> str:
        return f"{plain(Decimal(self.limit))} {self.currency} a {self.period} ({self.scope})"

    def clean(self) -> None:
        # What it is for is settled when it is made, and an old one has to be switched off somehow.
        if self._state.adding and (problem := provider_problem(scope=self.scope, provider=self.provider)):
            raise ValidationError({"provider": problem})


def provider_problem(*, scope: str, provider: str) -> str:
    """Why a budget would count nothing: no call is ever of its provider. Empty if it isn't so."""
    if scope != BudgetScope.PROVIDER or provider in PROVIDERS:
        return ""
    return f"Budgets are for one of {', '.join(PROVIDERS)}."


class BudgetCounter(TenantOwned):
    """What a budget's period has spent and holds. Keyed by period, never zeroed."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="counters")
    period_start = models.DateField(help_text="The period's first day, in the tenant's time zone.")
    spent = MoneyField(default=0)
    held = MoneyField(default=0)

    class Meta:
        ordering = ["-period_start"]
        constraints = [
            models.UniqueConstraint(fields=["budget", "period_start"], name="budgetcounter_unique"),
            models.CheckConstraint(condition=Q(held__gte=0), name="budgetcounter_held_not_negative"),
        ]

    def __str__(self) -> str:
        return f"From {self.period_start}"
