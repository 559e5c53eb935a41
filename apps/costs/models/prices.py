from datetime import datetime
from decimal import Decimal

from django.db import models
from django.db.models import Q

from apps.common.fields import CurrencyField, MoneyField
from apps.common.money import LEDGER_CURRENCY


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
