from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import OuterRef, Prefetch, Q, Subquery

from apps.common.fields import CountField, CurrencyField, MoneyField
from apps.common.models import TenantOwned, is_one_of
from apps.common.money import LEDGER_CURRENCY, plain
from apps.costs.periods import FURTHEST_AHEAD, period_bounds, period_start
from apps.costs.price_list import PROVIDERS
from apps.costs.standing import Standing
from apps.costs.subjects import scope_name
from apps.costs.thresholds import threshold_problem
from apps.tenants.models import Tenant

# From UTC to the clocks that are furthest behind and ahead, and between them.
_CLOCKS = (timedelta(hours=-12), timedelta(), FURTHEST_AHEAD)


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


class BudgetMode(models.TextChoices):
    """What becomes of a call that doesn't fit. All count and alert alike."""

    STOP = "stop"
    SHADOW = "shadow"
    WATCH = "watch"


def default_thresholds() -> list[int]:
    return [50, 80, 100]


def validate_thresholds(percentages: Sequence[int]) -> None:
    if problem := threshold_problem(percentages):
        raise ValidationError(problem)


class BudgetQuerySet(models.QuerySet["Budget"]):
    def with_present(self, *, at: datetime) -> "BudgetQuerySet":
        """With what `Budget.standing` needs, for any number of budgets and tenants in one statement more."""
        zone = Tenant.objects.filter(pk=OuterRef("tenant_id")).values("time_zone")
        # By whichever clock, the present period is one of these.
        present = Q()
        for period in BudgetPeriod.values:
            days = {period_start(period, at=at + offset, time_zone="UTC") for offset in _CLOCKS}
            present |= Q(budget__period=period, period_start__in=days)
        counters = Prefetch("counters", BudgetCounter.objects.filter(present), to_attr="present_counters")
        # `Budget` declares both names, for `standing`: django-stubs takes that for a clash.
        return self.annotate(time_zone=Subquery(zone)).prefetch_related(counters)  # type: ignore[no-redef]  # see above

    def with_scope_names(self) -> "BudgetQuerySet":
        """With the names of the accounts, campaigns and users that they are for, in the same statement."""
        return self.annotate(scope_name=scope_name())  # type: ignore[no-redef]  # as in `with_present`


class Budget(TenantOwned):
    """A ceiling on what may be spent in each period of the tenant's calendar."""

    tenant_id = models.UUIDField()
    scope = models.CharField(max_length=16, choices=BudgetScope, default=BudgetScope.TENANT)
    scope_id = models.UUIDField(null=True, blank=True, help_text="The account, campaign or user.")
    provider = models.CharField(max_length=32, blank=True, help_text="For a provider's budget.")
    period = models.CharField(max_length=8, choices=BudgetPeriod, default=BudgetPeriod.MONTH)
    limit = MoneyField()
    currency = CurrencyField()
    mode = models.CharField(
        max_length=8,
        choices=BudgetMode,
        default=BudgetMode.STOP,
        db_default=BudgetMode.STOP,
        help_text="What becomes of a call that would exceed the limit. Stop: it is refused. Shadow: it is "
        "made, and counted as one that would have been refused. Watch: it is made.",
    )
    thresholds = ArrayField(
        models.PositiveSmallIntegerField(),
        default=default_thresholds,
        blank=True,
        validators=[validate_thresholds],
        help_text="Percentages of the limit at which to alert: whole ones from 1 to 1000, 20 at most.",
    )
    is_active = models.BooleanField(
        default=True,
        help_text="Switched off, it counts nothing; switched on again, it counts what it missed.",
    )
    changed_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When it was last changed: of periods that were over by then, it alerts no more.",
    )

    objects = BudgetQuerySet.as_manager()
    # Of `with_present`.
    time_zone: str
    present_counters: "list[BudgetCounter]"
    # Of `with_scope_names`.
    scope_name: str | None

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
            is_one_of("mode", BudgetMode, table="budget"),
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
        if self._state.adding and (
            problems := scope_problems(scope=self.scope, scope_id=self.scope_id, provider=self.provider)
        ):
            raise ValidationError(problems)

    def standing(self, *, at: datetime) -> Standing:
        """How it stands in the period of `at`, the one that it was read `with_present` of."""
        start = period_start(self.period, at=at, time_zone=self.time_zone)
        first, end = period_bounds(self.period, start=start, time_zone=self.time_zone)
        for each in self.present_counters:
            if each.period_start == start:
                shadow = (each.shadow_calls, each.shadow_amount)
                return Standing(first, end, self.limit, each.spent, each.held, *shadow)
        return Standing(first, end, self.limit)


def scope_problems(*, scope: str, scope_id: UUID | None, provider: str) -> dict[str, str]:
    """Why it isn't clear what a budget is for, or it would count nothing, by field. Empty if all is well."""
    problems = {}
    if scope == BudgetScope.PROVIDER:
        if provider not in PROVIDERS:
            problems["provider"] = f"Budgets are for one of {', '.join(PROVIDERS)}."
    elif provider:
        problems["provider"] = f"Only a budget of the scope {BudgetScope.PROVIDER} names a provider."
    if scope in (BudgetScope.TENANT, BudgetScope.PROVIDER):
        if scope_id is not None:
            problems["scope_id"] = f"A budget of the scope {scope} has none."
    elif scope_id is None:
        problems["scope_id"] = f"Give the id of the {scope} that it is for."
    return problems


class BudgetCounter(TenantOwned):
    """What a budget's period has spent and holds. Keyed by period, never zeroed.

    What shadow mode has counted is of the limit that the budget has: it starts anew when that is changed.
    """

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="counters")
    period_start = models.DateField(help_text="The period's first day, in the tenant's time zone.")
    spent = MoneyField(default=0)
    held = MoneyField(default=0)
    shadow_calls = CountField(
        default=0, db_default=0, help_text="Calls that were made in shadow mode though they didn't fit."
    )
    shadow_amount = MoneyField(default=0, db_default=0, help_text="What they could have cost at most.")
    raised_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When a correction last added to what is spent."
    )
    raised_by = MoneyField(
        default=0,
        db_default=0,
        editable=False,
        help_text="What corrections have added to it, up to then and within a day of each other.",
    )

    class Meta:
        ordering = ["-period_start"]
        constraints = [
            models.UniqueConstraint(fields=["budget", "period_start"], name="budgetcounter_unique"),
            models.CheckConstraint(condition=Q(held__gte=0), name="budgetcounter_held_not_negative"),
        ]
        indexes = [
            models.Index(
                fields=["raised_at"], condition=Q(raised_at__isnull=False), name="budgetcounter_raised"
            )
        ]

    def __str__(self) -> str:
        return f"From {self.period_start}"

    @property
    def currency(self) -> str:
        return self.budget.currency
