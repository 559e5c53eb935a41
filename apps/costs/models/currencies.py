from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from apps.common.fields import CurrencyField, MoneyField
from apps.common.models import BaseModel
from apps.common.money import LEDGER_CURRENCY
from apps.costs.currencies import CODE, HIGHEST_RATE, LOWEST_RATE


class ExchangeRate(BaseModel):
    """What a dollar is in another currency, from a day until the next rate's. For display alone."""

    currency = CurrencyField(
        default="",
        validators=[RegexValidator(CODE, "Three capital letters, as in ISO 4217: EUR.")],
    )
    date = models.DateField(help_text="The first day that is shown at this rate.")
    per_usd = MoneyField(
        verbose_name="per US dollar", validators=[MinValueValidator(LOWEST_RATE)], help_text="EUR: 0.92, say."
    )
    source = models.CharField(max_length=200, blank=True, help_text="Who says so.")

    class Meta:
        ordering = ["currency", "-date"]
        constraints = [
            models.UniqueConstraint(
                fields=["currency", "date"],
                name="exchangerate_unique",
                violation_error_message="The currency has a rate of that day: change that one.",
            ),
            models.CheckConstraint(
                condition=Q(currency__regex=CODE) & ~Q(currency=LEDGER_CURRENCY),
                name="exchangerate_of_another_currency",
                violation_error_message="The ledger is in USD: give another currency, by its three letters.",
            ),
            models.CheckConstraint(
                condition=Q(per_usd__gte=LOWEST_RATE, per_usd__lte=HIGHEST_RATE),
                name="exchangerate_possible",
                violation_error_message=f"A rate is from {LOWEST_RATE:f} to {HIGHEST_RATE:,}.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.currency} from {self.date}"
