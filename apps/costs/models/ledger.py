from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from apps.common.fields import CurrencyField, MoneyField, SmallCountField
from apps.common.models import TenantOwned
from apps.common.money import plain
from apps.costs.models.prices import Price


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
    attempt = SmallCountField()
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
    above_bound_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When it turned out to cost more than was held.",
    )
    counters = ArrayField(
        models.UUIDField(), default=list, help_text="The budget counters that it weighs on."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["generation_id", "attempt"], name="hold_one_per_attempt"),
            models.CheckConstraint(condition=Q(bound__gte=0), name="hold_not_negative"),
            # And that its state is one of these.
            models.CheckConstraint(
                condition=Q(state=HoldState.HELD, ended_at__isnull=True)
                | Q(state__in=[HoldState.SETTLED, HoldState.RELEASED], ended_at__isnull=False),
                name="hold_ended_has_its_time",
            ),
        ]
        indexes = [
            models.Index(fields=["expires_at"], condition=Q(state="held"), name="hold_live"),
            models.Index(
                fields=["above_bound_at"],
                condition=Q(above_bound_at__isnull=False),
                name="hold_above_bound",
            ),
        ]

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
        return f"{plain(self.amount)} {self.currency}"
