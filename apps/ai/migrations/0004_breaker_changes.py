import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.ids
from apps.common.rls import SystemOnly


class Migration(migrations.Migration):
    dependencies = [
        ("ai", "0003_assistant_prompts"),
    ]

    operations = [
        migrations.CreateModel(
            name="BreakerChange",
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
                    "before",
                    models.CharField(
                        choices=[("closed", "Closed"), ("open", "Open"), ("half_open", "half-open")],
                        max_length=16,
                    ),
                ),
                (
                    "after",
                    models.CharField(
                        choices=[("closed", "Closed"), ("open", "Open"), ("half_open", "half-open")],
                        max_length=16,
                    ),
                ),
                ("reason", models.TextField()),
                (
                    "by",
                    models.UUIDField(
                        blank=True, help_text="The operator; empty: the breaker itself.", null=True
                    ),
                ),
                (
                    "deployment",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="breaker_changes",
                        to="ai.deployment",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["deployment", "-id"], name="breaker_change_by_deployment")],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("before__in", ["closed", "open", "half_open"])),
                        name="breaker_change_before_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("after__in", ["closed", "open", "half_open"])),
                        name="breaker_change_after_known",
                    ),
                ],
            },
        ),
        SystemOnly("ai_breakerchange"),
    ]
