import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.ids
from apps.common.rls import IsolateTenants, ReadOnlyForTenants


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("common", "0002_idempotency"),
    ]

    operations = [
        migrations.CreateModel(
            name="Flag",
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
                ("name", models.SlugField(max_length=64, unique=True)),
                ("description", models.TextField(blank=True)),
                (
                    "rollout_percent",
                    models.PositiveSmallIntegerField(
                        default=0,
                        help_text="Share of the tenants, 0 to 100, for which the feature is on.",
                        validators=[django.core.validators.MaxValueValidator(100)],
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("rollout_percent__lte", 100)), name="flag_rollout_is_a_share"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="FlagOverride",
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
                ("enabled", models.BooleanField()),
                (
                    "flag",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="overrides", to="flags.flag"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("flag", "tenant_id"), name="flagoverride_unique")
                ],
            },
        ),
        ReadOnlyForTenants("flags_flag"),
        IsolateTenants("flags_flagoverride"),
    ]
