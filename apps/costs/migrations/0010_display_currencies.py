from decimal import Decimal

import django.core.validators
import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.fields
import apps.common.ids
from apps.common.rls import ReadOnlyForTenants


class Migration(migrations.Migration):
    """Rates of exchange, for display."""

    dependencies = [
        ("costs", "0009_price_kinds"),
    ]

    operations = [
        migrations.CreateModel(
            name="ExchangeRate",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=apps.common.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False
                    ),
                ),
                (
                    "currency",
                    apps.common.fields.CurrencyField(
                        default="",
                        max_length=3,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[A-Z]{3}$", "Three capital letters, as in ISO 4217: EUR."
                            )
                        ],
                    ),
                ),
                ("date", models.DateField(help_text="The first day that is shown at this rate.")),
                (
                    "per_usd",
                    apps.common.fields.MoneyField(
                        decimal_places=10,
                        help_text="EUR: 0.92, say.",
                        max_digits=20,
                        validators=[django.core.validators.MinValueValidator(Decimal("0.000001"))],
                        verbose_name="per US dollar",
                    ),
                ),
                ("source", models.CharField(blank=True, help_text="Who says so.", max_length=200)),
            ],
            options={
                "ordering": ["currency", "-date"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("currency", "date"),
                        name="exchangerate_unique",
                        violation_error_message="The currency has a rate of that day: change that one.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("currency__regex", "^[A-Z]{3}$"), models.Q(("currency", "USD"), _negated=True)
                        ),
                        name="exchangerate_of_another_currency",
                        violation_error_message="The ledger is in USD: give another currency, by its three letters.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("per_usd__gte", Decimal("0.000001")), ("per_usd__lte", Decimal("1000000000"))
                        ),
                        name="exchangerate_possible",
                        violation_error_message="A rate is from 0.000001 to 1,000,000,000.",
                    ),
                ],
            },
        ),
        ReadOnlyForTenants("costs_exchangerate"),
    ]
