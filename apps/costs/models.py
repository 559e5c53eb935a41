from datetime import datetime
from decimal import Decimal

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from apps.common.fields import CurrencyField, MoneyField
from apps.common.models import TenantOwned, is_one_of
from apps.common.money import LEDGER_CURRENCY, plain
from apps.costs.price_list import PROVIDERS


class PriceQuerySet(models.QuerySet["Price"]):
    def in_force(self, *, provider: str, model: str, at: datetime) -> "Price | None":
        """The price that holds at an instant: the latest that has started."""
        started = self.filter(provider=provider, model=model, starts_at__lte=at)
        return started.order_by("-starts_at").first()


class Price(models.Model):
    """What a model costs per million tokens, from `starts_at` until the next row's start."""

    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=100)
    input_per_million = MoneyField()
    cached_input_per_million = MoneyField[str | Decimal | None, Decimal | None](
        null=True, blank=True, help_text="Empty: cached tokens are billed at the input rate."
    )
    output_per_million = MoneyField()
    currency = CurrencyField()
    starts_at = models.DateTimeField()

    objects = PriceQuerySet.as_manager()

    class Meta:
        ordering = ["provider", "model", "-starts_at"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "model", "starts_at"], name="price_unique"),
            models.CheckConstraint(
                condition=Q(input_per_million__gte=0, output_per_million__gte=0)
                & (Q(cached_input_per_million__isnull=True) | Q(cached_input_per_million__gte=0)),
                name="price_not_negative",
            ),
            models.CheckConstraint(condition=Q(currency=LEDGER_CURRENCY), name="price_in_ledger_currency"),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.model} from {self.starts_at:%Y-%m-%d}"


class Attribution(models.Model):
    """Whom and what a cost is for. Ids of rows in higher apps are plain columns."""

    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=100)
    task_kind = models.CharField(max_length=32)
    account_id = models.UUIDField(null=True, blank=True)
    campaign_id = models.UUIDField(null=True, blank=True)
    user_id = models.UUIDField(null=True, blank=True)

    class Meta:
        abstract = True


class HoldState(models.TextChoices):
    HELD = "held"
    SETTLED = "settled"
    RELEASED = "released"


class Hold(TenantOwned, Attribution):
    """Money set aside for one attempt at a provider, committed before the call and ended exactly once."""

    generation_id = models.UUIDField()
    attempt = models.PositiveSmallIntegerField()
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+", db_index=False)
    bound = MoneyField(help_text="The most that the attempt can cost.")
    currency = CurrencyField()
    occurred_at = models.DateTimeField(
        help_text="When the generation was created; decides the budget's period."
    )
    expires_at = models.DateTimeField(
        help_text="After this, the attempt counts as abandoned and settles at its bound."
    )
    state = models.CharField(max_length=16, choices=HoldState, default=HoldState.HELD)
    ended_at = models.DateTimeField(null=True, blank=True)
    counters = ArrayField(
        models.UUIDField(), default=list, help_text="The budget counters that it weighs on."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["generation_id", "attempt"], name="hold_one_per_attempt"),
            is_one_of("state", HoldState, table="hold"),
            models.CheckConstraint(condition=Q(bound__gte=0), name="hold_not_negative"),
            models.CheckConstraint(
                condition=Q(state=HoldState.HELD, ended_at__isnull=True)
                | (~Q(state=HoldState.HELD) & Q(ended_at__isnull=False)),
                name="hold_ended_has_its_time",
            ),
        ]
        indexes = [models.Index(fields=["expires_at"], condition=Q(state="held"), name="hold_live")]

    def __str__(self) -> str:
        return f"{self.generation_id}/{self.attempt}"


class LedgerEntry(Attribution):
    """What one attempt cost: inserted once at settlement, never changed; corrections are new entries.

    The table is partitioned by month of `occurred_at` (migration 0002_ledger), and the application may
    neither update nor delete in it.
    """

    id = models.BigAutoField(primary_key=True)
    tenant_id = models.UUIDField()
    occurred_at = models.DateTimeField()
    generation_id = models.UUIDField()
    attempt = models.PositiveSmallIntegerField()
    sequence = models.PositiveSmallIntegerField(default=0, help_text="0; above it, corrections.")
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+", db_index=False)
    input_tokens = models.PositiveIntegerField()
    cached_tokens = models.PositiveIntegerField(
        default=0, help_text="Of the input tokens, those read from cache."
    )
    output_tokens = models.PositiveIntegerField()
    amount = MoneyField()
    currency = CurrencyField()
    estimated = models.BooleanField(
        default=False, help_text="The usage is unknown (time-out, cut, dead process): settled at the bound."
    )
    ledger_generation = models.PositiveSmallIntegerField(
        db_default=1, help_text="Raised by a restore from a dump; the database knows the present one."
    )

    class Meta:
        managed = False  # made by SQL, since Django knows no partitions
        db_table = "costs_ledgerentry"
        verbose_name_plural = "ledger entries"
        ordering = ["-occurred_at", "-id"]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


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
