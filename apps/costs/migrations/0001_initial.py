import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.fields
import apps.common.ids
import apps.costs.models
from apps.common.rls import IsolateTenants, ReadOnlyForTenants


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("common", "0002_idempotency"),
    ]

    operations = [
        migrations.CreateModel(
            name="LedgerEntry",
            fields=[
                ("provider", models.CharField(max_length=32)),
                ("model", models.CharField(max_length=100)),
                ("task_kind", models.CharField(max_length=32)),
                ("account_id", models.UUIDField(blank=True, null=True)),
                ("campaign_id", models.UUIDField(blank=True, null=True)),
                ("user_id", models.UUIDField(blank=True, null=True)),
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("tenant_id", models.UUIDField()),
                ("occurred_at", models.DateTimeField()),
                ("generation_id", models.UUIDField()),
                ("attempt", models.PositiveSmallIntegerField()),
                (
                    "sequence",
                    models.PositiveSmallIntegerField(default=0, help_text="0; above it, corrections."),
                ),
                ("input_tokens", models.PositiveIntegerField()),
                (
                    "cached_tokens",
                    models.PositiveIntegerField(
                        default=0, help_text="Of the input tokens, those read from cache."
                    ),
                ),
                ("output_tokens", models.PositiveIntegerField()),
                ("amount", apps.common.fields.MoneyField(decimal_places=10, max_digits=20)),
                ("currency", apps.common.fields.CurrencyField(default="USD", max_length=3)),
                (
                    "estimated",
                    models.BooleanField(
                        default=False,
                        help_text="The usage is unknown (time-out, cut, dead process): settled at the bound.",
                    ),
                ),
                (
                    "ledger_generation",
                    models.PositiveSmallIntegerField(
                        default=1, help_text="Raised by a restore from a backup."
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "ledger entries",
                "db_table": "costs_ledgerentry",
                "ordering": ["-occurred_at", "-id"],
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Budget",
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
                ("tenant_id", models.UUIDField()),
                (
                    "scope",
                    models.CharField(
                        choices=[
                            ("tenant", "Tenant"),
                            ("account", "Account"),
                            ("campaign", "Campaign"),
                            ("user", "User"),
                            ("provider", "Provider"),
                        ],
                        default="tenant",
                        max_length=16,
                    ),
                ),
                (
                    "scope_id",
                    models.UUIDField(blank=True, help_text="The account, campaign or user.", null=True),
                ),
                (
                    "provider",
                    models.CharField(blank=True, help_text="For a provider's budget.", max_length=32),
                ),
                (
                    "period",
                    models.CharField(
                        choices=[("day", "Day"), ("week", "Week"), ("month", "Month")],
                        default="month",
                        max_length=8,
                    ),
                ),
                ("limit", apps.common.fields.MoneyField(decimal_places=10, max_digits=20)),
                ("currency", apps.common.fields.CurrencyField(default="USD", max_length=3)),
                (
                    "hard_stop",
                    models.BooleanField(
                        default=True, help_text="Refuse what would exceed the limit; otherwise only alert."
                    ),
                ),
                (
                    "thresholds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(),
                        blank=True,
                        default=apps.costs.models.default_thresholds,
                        help_text="Percentages of the limit at which to alert.",
                        size=None,
                    ),
                ),
                ("is_active", models.BooleanField(default=True)),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant_id", "scope", "scope_id", "provider", "period"),
                        name="budget_unique",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("scope__in", ["tenant", "account", "campaign", "user", "provider"])
                        ),
                        name="budget_scope_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("period__in", ["day", "week", "month"])),
                        name="budget_period_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("currency", "USD")), name="budget_in_ledger_currency"
                    ),
                    models.CheckConstraint(condition=models.Q(("limit__gte", 0)), name="budget_not_negative"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("scope", "tenant"), ("provider", ""), ("scope_id__isnull", True)),
                            models.Q(
                                ("scope", "provider"),
                                ("scope_id__isnull", True),
                                models.Q(("provider", ""), _negated=True),
                            ),
                            models.Q(
                                ("provider", ""),
                                ("scope__in", ["account", "campaign", "user"]),
                                ("scope_id__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="budget_names_its_scope",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Price",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("provider", models.CharField(max_length=32)),
                ("model", models.CharField(max_length=100)),
                ("input_per_million", apps.common.fields.MoneyField(decimal_places=10, max_digits=20)),
                (
                    "cached_input_per_million",
                    apps.common.fields.MoneyField(
                        blank=True,
                        decimal_places=10,
                        help_text="Empty: cached tokens are billed at the input rate.",
                        max_digits=20,
                        null=True,
                    ),
                ),
                ("output_per_million", apps.common.fields.MoneyField(decimal_places=10, max_digits=20)),
                ("currency", apps.common.fields.CurrencyField(default="USD", max_length=3)),
                ("starts_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["provider", "model", "-starts_at"],
                "constraints": [
                    models.UniqueConstraint(fields=("provider", "model", "starts_at"), name="price_unique"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("input_per_million__gte", 0),
                            ("output_per_million__gte", 0),
                            models.Q(
                                ("cached_input_per_million__isnull", True),
                                ("cached_input_per_million__gte", 0),
                                _connector="OR",
                            ),
                        ),
                        name="price_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("currency", "USD")), name="price_in_ledger_currency"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="BudgetCounter",
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
                (
                    "period_start",
                    models.DateField(help_text="The period's first day, in the tenant's time zone."),
                ),
                ("spent", apps.common.fields.MoneyField(decimal_places=10, default=0, max_digits=20)),
                ("held", apps.common.fields.MoneyField(decimal_places=10, default=0, max_digits=20)),
                (
                    "budget",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="counters",
                        to="costs.budget",
                    ),
                ),
            ],
            options={
                "ordering": ["-period_start"],
                "constraints": [
                    models.UniqueConstraint(fields=("budget", "period_start"), name="budgetcounter_unique"),
                    models.CheckConstraint(
                        condition=models.Q(("held__gte", 0)), name="budgetcounter_held_not_negative"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Hold",
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
                ("provider", models.CharField(max_length=32)),
                ("model", models.CharField(max_length=100)),
                ("task_kind", models.CharField(max_length=32)),
                ("account_id", models.UUIDField(blank=True, null=True)),
                ("campaign_id", models.UUIDField(blank=True, null=True)),
                ("user_id", models.UUIDField(blank=True, null=True)),
                ("generation_id", models.UUIDField()),
                ("attempt", models.PositiveSmallIntegerField()),
                (
                    "bound",
                    apps.common.fields.MoneyField(
                        decimal_places=10, help_text="The most that the attempt can cost.", max_digits=20
                    ),
                ),
                ("currency", apps.common.fields.CurrencyField(default="USD", max_length=3)),
                (
                    "occurred_at",
                    models.DateTimeField(
                        help_text="When the generation was created; decides the budget's period."
                    ),
                ),
                (
                    "expires_at",
                    models.DateTimeField(
                        help_text="After this, the attempt counts as abandoned and settles at its bound."
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("held", "Held"), ("settled", "Settled"), ("released", "Released")],
                        default="held",
                        max_length=16,
                    ),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "counters",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(),
                        default=list,
                        help_text="The budget counters that it weighs on.",
                        size=None,
                    ),
                ),
                (
                    "price",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="costs.price"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "held")), fields=["expires_at"], name="hold_live"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("generation_id", "attempt"), name="hold_one_per_attempt"),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["held", "settled", "released"])),
                        name="hold_state_known",
                    ),
                    models.CheckConstraint(condition=models.Q(("bound__gte", 0)), name="hold_not_negative"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("ended_at__isnull", True), ("state", "held")),
                            models.Q(models.Q(("state", "held"), _negated=True), ("ended_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="hold_ended_has_its_time",
                    ),
                ],
            },
        ),
        ReadOnlyForTenants("costs_price"),
        IsolateTenants("costs_hold"),
        IsolateTenants("costs_budget"),
        IsolateTenants("costs_budgetcounter"),
    ]
