import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.ids
from apps.common.rls import IsolateTenants


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("common", "0002_idempotency"),
        ("ai", "0001_initial"),
        ("messaging", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Content",
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
                    "kind",
                    models.CharField(
                        choices=[
                            ("message", "Message"),
                            ("caption", "Caption"),
                            ("idea", "Idea"),
                            ("hashtags", "Hashtags"),
                        ],
                        max_length=16,
                    ),
                ),
                ("campaign_id", models.UUIDField(blank=True, null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[("pending", "Pending"), ("ready", "Ready"), ("failed", "Failed")],
                        default="pending",
                        max_length=16,
                    ),
                ),
                ("text", models.TextField(blank=True)),
                ("error", models.TextField(blank=True)),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="contents",
                        to="messaging.account",
                    ),
                ),
                (
                    "fan",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty: for all of them.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="contents",
                        to="messaging.fan",
                    ),
                ),
                (
                    "generation",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="contents",
                        to="ai.generation",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [models.Index(fields=["campaign_id", "state"], name="content_by_campaign")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(
                            ("campaign_id__isnull", False), ("fan__isnull", True), ("kind", "message")
                        ),
                        fields=("campaign_id", "account"),
                        name="content_one_template_per_account",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(
                            ("campaign_id__isnull", False), ("fan__isnull", False), ("kind", "message")
                        ),
                        fields=("campaign_id", "fan"),
                        name="content_one_message_per_fan",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["message", "caption", "idea", "hashtags"])),
                        name="content_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["pending", "ready", "failed"])),
                        name="content_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "ready"), _negated=True),
                            models.Q(("text", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="content_ready_has_words",
                    ),
                ],
            },
        ),
        IsolateTenants("content_content"),
    ]
