import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.ids
from apps.common.rls import IsolateTenants


class Migration(migrations.Migration):
    dependencies = [
        ("common", "0001_privileges"),
    ]

    operations = [
        migrations.CreateModel(
            name="IdempotencyRecord",
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
                ("key", models.CharField(max_length=255)),
                (
                    "request_hash",
                    models.CharField(help_text="SHA-256 of method, path and body.", max_length=64),
                ),
                ("status_code", models.PositiveSmallIntegerField(null=True)),
                ("response", models.JSONField(null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["created_at"], name="idempotency_created_at")],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant_id", "key"), name="idempotency_key_unique")
                ],
            },
        ),
        IsolateTenants("common_idempotencyrecord"),
    ]
