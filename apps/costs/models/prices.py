from datetime import datetime
from decimal import Decimal

from django.db import models
from django.db.models import Q

from apps.common.fields import CurrencyField, MoneyField
from apps.common.models import is_one_of
from apps.common.money import LEDGER_CURRENCY


class PriceKind(models.TextChoices):
    TEXT = "text"
    EMBEDDING = "embedding"


class PriceQuerySet(models.QuerySet["Price"]):
    def in_force(self, *, provider: str, model: str, at: datetime) -> "Price | None":
        """The price that holds at an instant: the latest that has started."""
        started = self.filter(provider=provider, model=model, starts_at__lte=at)
        return started.order_by("-starts_at").first()

    def all_in_force(self, *, at: datetime) -> list["Price"]:
        """Of each model of each provider the price that holds at an instant."""
        latest = self.filter(starts_at__lte=at).order_by("provider", "model", "-starts_at")
        return list(latest.distinct("provider", "model"))


class Price(models.Model):
    """What a model costs per million tokens, from `starts_at` until the next row's start.

    Once it has begun it can't be changed or deleted: entries point at it. A trigger sees to that (migration
    0009_price_kinds).
    """

    provider = models.CharField(max_length=32)
    model = models.CharField(max_length=100)
    kind = models.CharField(
        max_length=16,
        choices=PriceKind,
        default=PriceKind.TEXT,
        db_default=PriceKind.TEXT.value,
        help_text="An embedding has no output.",
    )
    input_per_million = MoneyField()
    cached_input_per_million = MoneyField[str | Decimal | None, Decimal | None](
        null=True, blank=True, help_text="Empty: cached tokens are billed at the input rate."
    )
    output_per_million = MoneyField()
    batch_input_per_million = MoneyField[str | Decimal | None, Decimal | None](
        null=True, blank=True, help_text="Empty: the model isn't sold in batches."
    )
    batch_cached_input_per_million = MoneyField[str | Decimal | None, Decimal | None](
        null=True, blank=True, help_text="Empty: cached tokens of a batch are billed at its input rate."
    )
    batch_output_per_million = MoneyField[str | Decimal | None, Decimal | None](null=True, blank=True)
    currency = CurrencyField()
    starts_at = models.DateTimeField()
    note = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="Where the rates are from."
    )

    objects = PriceQuerySet.as_manager()

    class Meta:
        ordering = ["provider", "model", "-starts_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "model", "starts_at"],
                name="price_unique",
                violation_error_message="The model has a price from that instant: choose another one, or "
                "change that price while it hasn't begun.",
            ),
            models.CheckConstraint(
                condition=Q(input_per_million__gte=0, output_per_million__gte=0)
                & (Q(cached_input_per_million__isnull=True) | Q(cached_input_per_million__gte=0)),
                name="price_not_negative",
                violation_error_message="A rate is 0 or more.",
            ),
            models.CheckConstraint(condition=Q(currency=LEDGER_CURRENCY), name="price_in_ledger_currency"),
            is_one_of("kind", PriceKind, table="price"),
            models.CheckConstraint(
                condition=~Q(kind=PriceKind.EMBEDDING)
                | (
                    Q(output_per_million=0)
                    & (Q(batch_output_per_million__isnull=True) | Q(batch_output_per_million=0))
                ),
                name="price_embedding_has_no_output",
                violation_error_message="An embedding has no output: its output rates are 0.",
            ),
            models.CheckConstraint(
                condition=Q(
                    batch_input_per_million__isnull=True,
                    batch_cached_input_per_million__isnull=True,
                    batch_output_per_million__isnull=True,
                )
                | Q(
                    batch_input_per_million__isnull=False,
                    batch_output_per_million__isnull=False,
                    batch_input_per_million__gte=0,
                    batch_output_per_million__gte=0,
                ),
                name="price_batch_rates_together",
                violation_error_message="A batch has an input and an output rate, or no rate at all.",
            ),
            models.CheckConstraint(
                condition=Q(batch_cached_input_per_million__isnull=True)
                | Q(batch_cached_input_per_million__gte=0),
                name="price_batch_cached_not_negative",
                violation_error_message="A rate is 0 or more.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.model} from {self.starts_at:%Y-%m-%d}"
