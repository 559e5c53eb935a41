import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.ids
from apps.common.rls import IsolateTenants


class Migration(migrations.Migration):
    dependencies = [("ai", "0005_generation_functions")]

    operations = [
        migrations.AddField(
            model_name="deployment",
            name="context_tokens",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="How many tokens question and answer may have together; empty: not known.",
                null=True,
            ),
        ),
        migrations.CreateModel(
            name="RoutingPreference",
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
                    "preference",
                    models.CharField(
                        choices=[
                            ("quality", "quality: the advanced models first"),
                            ("balanced", "balanced: the model that fits the task"),
                            ("cheapest", "cheapest: the cheapest models first"),
                        ],
                        default="balanced",
                        max_length=16,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant_id",),
                        name="routingpreference_one_per_tenant",
                        violation_error_message="This tenant has a preference: change that one.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("preference__in", ["quality", "balanced", "cheapest"])),
                        name="routingpreference_preference_known",
                    ),
                ],
            },
        ),
        IsolateTenants("ai_routingpreference"),
    ]
