import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.fields
import apps.common.ids
from apps.common.rls import IsolateTenants


class Migration(migrations.Migration):
    """What each tenant's month will come to, as it looked on each of its days."""

    dependencies = [
        ("costs", "0011_retention"),
    ]

    operations = [
        migrations.CreateModel(
            name="Forecast",
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
                ("tenant_id", models.UUIDField(editable=False, help_text="The tenant that owns this row.")),
                ("made_on", models.DateField(help_text="The day, by the tenant's calendar.")),
                ("made_at", models.DateTimeField()),
                ("month", models.DateField(help_text="The month's first day.")),
                (
                    "method",
                    models.CharField(
                        choices=[
                            ("none", "none"),
                            ("run_rate", "run_rate"),
                            ("weekday_means", "weekday_means"),
                            ("ets", "ets"),
                            ("log_theta", "log_theta"),
                            ("combination", "combination"),
                            ("seasonal_naive", "seasonal_naive"),
                        ],
                        max_length=16,
                    ),
                ),
                ("reason", models.TextField(help_text="Why this method.")),
                (
                    "observed_days",
                    models.PositiveSmallIntegerField(help_text="Whole days since the first spend."),
                ),
                (
                    "spent",
                    apps.common.fields.MoneyField(
                        decimal_places=10, help_text="In the month, when it was made.", max_digits=20
                    ),
                ),
                (
                    "point",
                    apps.common.fields.MoneyField(
                        blank=True,
                        decimal_places=10,
                        help_text="What the whole month will cost; empty: nothing can be said.",
                        max_digits=20,
                        null=True,
                    ),
                ),
                (
                    "low_80",
                    apps.common.fields.MoneyField(blank=True, decimal_places=10, max_digits=20, null=True),
                ),
                (
                    "high_80",
                    apps.common.fields.MoneyField(blank=True, decimal_places=10, max_digits=20, null=True),
                ),
                (
                    "low_95",
                    apps.common.fields.MoneyField(blank=True, decimal_places=10, max_digits=20, null=True),
                ),
                (
                    "high_95",
                    apps.common.fields.MoneyField(blank=True, decimal_places=10, max_digits=20, null=True),
                ),
                ("currency", apps.common.fields.CurrencyField(default="USD", max_length=3)),
                (
                    "days",
                    models.JSONField(default=list, help_text="Each day from that one to the month's last."),
                ),
                (
                    "totals",
                    models.JSONField(
                        default=list, help_text="What the month has come to by the end of each of its days."
                    ),
                ),
                (
                    "backtest",
                    models.JSONField(
                        blank=True, help_text="How models did in the past; empty: it is too short.", null=True
                    ),
                ),
                (
                    "budgets",
                    models.JSONField(
                        default=list, help_text="What the present period of each budget will come to."
                    ),
                ),
                ("budget_totals", models.JSONField(default=dict)),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant_id", "made_on"), name="forecast_once_a_day"),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "method__in",
                                [
                                    "none",
                                    "run_rate",
                                    "weekday_means",
                                    "ets",
                                    "log_theta",
                                    "combination",
                                    "seasonal_naive",
                                ],
                            )
                        ),
                        name="forecast_method_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("method", "none"), ("point__isnull", True)),
                            models.Q(models.Q(("method", "none"), _negated=True), ("point__isnull", False)),
                            _connector="OR",
                        ),
                        name="forecast_says_something",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("point__isnull", True),
                            models.Q(
                                ("high_80__gte", models.F("point")),
                                ("high_95__gte", models.F("high_80")),
                                ("low_80__gte", models.F("low_95")),
                                ("low_95__gte", 0),
                                ("point__gte", models.F("low_80")),
                            ),
                            _connector="OR",
                        ),
                        name="forecast_intervals_in_order",
                    ),
                ],
            },
        ),
        IsolateTenants("costs_forecast"),
    ]
