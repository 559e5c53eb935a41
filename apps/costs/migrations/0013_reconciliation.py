import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.fields
import apps.common.ids
from apps.common.rls import IsolateTenants, ReadOnlyForTenants, SystemOnly


class Migration(migrations.Migration):
    """Providers' bills beside the ledger."""

    dependencies = [
        ("costs", "0012_forecasts"),
    ]

    operations = [
        migrations.CreateModel(
            name="UsageImport",
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
                    "provider",
                    models.CharField(choices=[("openai", "OpenAI"), ("azure", "Azure")], max_length=32),
                ),
                ("file_name", models.CharField(max_length=255)),
                ("sha256", models.CharField(editable=False, max_length=64)),
                ("layout", models.CharField(editable=False, max_length=32)),
                (
                    "first_day",
                    models.DateField(editable=False, help_text="Of UTC, like all days of providers."),
                ),
                ("last_day", models.DateField(editable=False)),
                ("lines", models.PositiveIntegerField(editable=False)),
                (
                    "other_lines",
                    models.PositiveIntegerField(
                        editable=False, help_text="Those of something else than models' tokens."
                    ),
                ),
                (
                    "uploaded_by",
                    models.UUIDField(editable=False, help_text="Null: by the command.", null=True),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("imported", "Imported"),
                            ("correcting", "Correcting"),
                            ("corrected", "Corrected"),
                        ],
                        default="imported",
                        editable=False,
                        max_length=16,
                    ),
                ),
                (
                    "above_bounds",
                    models.BooleanField(
                        default=False,
                        editable=False,
                        help_text="Corrections may go beyond what was held for their attempts.",
                    ),
                ),
                ("compared_at", models.DateTimeField(editable=False)),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "correcting")), fields=["id"], name="usageimport_open"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("provider", "sha256"), name="usageimport_once"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["imported", "correcting", "corrected"])),
                        name="usageimport_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("provider__in", ["openai", "azure"])),
                        name="usageimport_provider_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("last_day__gte", models.F("first_day"))),
                        name="usageimport_days_in_order",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageDifference",
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
                ("day", models.DateField()),
                ("model", models.CharField(max_length=100)),
                ("requests", models.BigIntegerField(null=True)),
                ("input_tokens", models.BigIntegerField(null=True)),
                ("cached_tokens", models.BigIntegerField(null=True)),
                ("output_tokens", models.BigIntegerField(null=True)),
                ("amount", apps.common.fields.MoneyField(decimal_places=10, max_digits=20, null=True)),
                ("provider", models.CharField(max_length=32)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("matched", "Matched"),
                            ("different", "Different"),
                            ("ours_only", "ours only"),
                            ("theirs_only", "theirs only"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "priced",
                    models.BooleanField(
                        help_text="Their amount is reckoned from their tokens, by our prices."
                    ),
                ),
                ("our_requests", models.BigIntegerField()),
                ("our_input_tokens", models.BigIntegerField()),
                ("our_cached_tokens", models.BigIntegerField()),
                ("our_output_tokens", models.BigIntegerField()),
                ("our_amount", apps.common.fields.MoneyField(decimal_places=10, max_digits=20)),
                (
                    "estimates",
                    models.PositiveIntegerField(
                        help_text="Of our requests, those that stand at their bound."
                    ),
                ),
                ("estimated_amount", apps.common.fields.MoneyField(decimal_places=10, max_digits=20)),
                (
                    "rest",
                    apps.common.fields.MoneyField(
                        decimal_places=10,
                        help_text="What the estimates come to if corrected; null: they can't be.",
                        max_digits=20,
                        null=True,
                    ),
                ),
                (
                    "reason",
                    models.CharField(blank=True, help_text="Why they can't be corrected.", max_length=300),
                ),
                (
                    "usage_import",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="%(class)ss",
                        to="costs.usageimport",
                    ),
                ),
            ],
            options={
                "ordering": ["-day", "model"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("usage_import", "day", "model"), name="usagedifference_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ["matched", "different", "ours_only", "theirs_only"])
                        ),
                        name="usagedifference_state_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageCorrection",
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
                ("day", models.DateField()),
                ("model", models.CharField(max_length=100)),
                ("hold_id", models.UUIDField()),
                ("generation_id", models.UUIDField()),
                ("attempt", models.PositiveSmallIntegerField()),
                ("input_tokens", models.PositiveIntegerField()),
                ("cached_tokens", models.PositiveIntegerField()),
                ("output_tokens", models.PositiveIntegerField()),
                (
                    "bound",
                    apps.common.fields.MoneyField(
                        decimal_places=10, help_text="What it was entered at.", max_digits=20
                    ),
                ),
                (
                    "amount",
                    apps.common.fields.MoneyField(
                        decimal_places=10, help_text="What it has cost.", max_digits=20
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("planned", "Planned"),
                            ("entered", "Entered"),
                            ("overtaken", "overtaken: its estimate was corrected by then"),
                        ],
                        default="planned",
                        max_length=16,
                    ),
                ),
                ("entered_at", models.DateTimeField(null=True)),
                (
                    "usage_import",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="corrections",
                        to="costs.usageimport",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "planned")),
                        fields=["id"],
                        name="usagecorrection_planned",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("usage_import", "hold_id"), name="usagecorrection_once"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["planned", "entered", "overtaken"])),
                        name="usagecorrection_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gte", 0)), name="usagecorrection_not_negative"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageLine",
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
                ("day", models.DateField()),
                ("model", models.CharField(max_length=100)),
                ("requests", models.BigIntegerField(null=True)),
                ("input_tokens", models.BigIntegerField(null=True)),
                ("cached_tokens", models.BigIntegerField(null=True)),
                ("output_tokens", models.BigIntegerField(null=True)),
                ("amount", apps.common.fields.MoneyField(decimal_places=10, max_digits=20, null=True)),
                (
                    "key",
                    models.CharField(blank=True, help_text="The provider's project or key.", max_length=300),
                ),
                (
                    "usage_import",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="%(class)ss",
                        to="costs.usageimport",
                    ),
                ),
            ],
            options={
                "ordering": ["day", "model", "key"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("usage_import", "day", "model", "key"), name="usageline_once"
                    )
                ],
            },
        ),
        # A provider's bill is of all tenants together.
        SystemOnly("costs_usageimport"),
        SystemOnly("costs_usageline"),
        SystemOnly("costs_usagedifference"),
        IsolateTenants("costs_usagecorrection"),
        ReadOnlyForTenants("costs_usagecorrection"),
    ]
