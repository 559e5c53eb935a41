import datetime

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.fields
import apps.common.ids
from apps.common.rls import IsolateTenants, ReadOnlyForTenants


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("common", "0002_idempotency"),
    ]

    operations = [
        migrations.CreateModel(
            name="Deployment",
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
                (
                    "provider",
                    models.CharField(
                        choices=[("openai", "OpenAI"), ("azure", "Azure OpenAI")], max_length=16
                    ),
                ),
                (
                    "model",
                    models.CharField(
                        help_text="The model's own name, by which it is priced.", max_length=100
                    ),
                ),
                (
                    "azure_deployment",
                    models.CharField(
                        blank=True,
                        help_text="Azure's name for the deployment, where it differs from the model's.",
                        max_length=100,
                    ),
                ),
                (
                    "model_class",
                    models.CharField(
                        choices=[
                            ("advanced", "advanced (GPT-4 class)"),
                            ("standard", "standard (GPT-3.5 class)"),
                            ("embedding", "Embedding"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "weight",
                    models.PositiveSmallIntegerField(
                        default=100, help_text="Share of the calls among equals; 0: only as a fallback."
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                ("attempt_timeout", models.DurationField(default=datetime.timedelta(seconds=60))),
            ],
            options={
                "ordering": ["name"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("provider__in", ["openai", "azure"])),
                        name="deployment_provider_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("model_class__in", ["advanced", "standard", "embedding"])),
                        name="deployment_model_class_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("attempt_timeout__gt", datetime.timedelta(0))),
                        name="deployment_timeout_positive",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PromptTemplate",
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
                ("key", models.SlugField(max_length=64)),
                ("version", models.PositiveIntegerField()),
                (
                    "task_kind",
                    models.CharField(
                        choices=[
                            ("planning", "Planning"),
                            ("multi_platform", "multi-platform"),
                            ("message", "Message"),
                            ("quick_reply", "quick reply"),
                            ("idea", "Idea"),
                            ("caption", "Caption"),
                            ("embedding", "Embedding"),
                        ],
                        max_length=32,
                    ),
                ),
                ("system", models.TextField(blank=True)),
                ("body", models.TextField(help_text="The user's message; variables as {{ name }}.")),
                (
                    "output_schema",
                    models.JSONField(
                        blank=True, help_text="JSON schema of the answer; empty for plain text.", null=True
                    ),
                ),
                ("max_tokens", models.PositiveIntegerField(default=500)),
                ("is_active", models.BooleanField(default=False)),
            ],
            options={
                "ordering": ["key", "-version"],
                "constraints": [
                    models.UniqueConstraint(fields=("key", "version"), name="prompt_version_unique"),
                    models.UniqueConstraint(
                        condition=models.Q(("is_active", True)), fields=("key",), name="prompt_one_active"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "task_kind__in",
                                [
                                    "planning",
                                    "multi_platform",
                                    "message",
                                    "quick_reply",
                                    "idea",
                                    "caption",
                                    "embedding",
                                ],
                            )
                        ),
                        name="prompt_task_kind_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Generation",
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
                    "task_kind",
                    models.CharField(
                        choices=[
                            ("planning", "Planning"),
                            ("multi_platform", "multi-platform"),
                            ("message", "Message"),
                            ("quick_reply", "quick reply"),
                            ("idea", "Idea"),
                            ("caption", "Caption"),
                            ("embedding", "Embedding"),
                        ],
                        max_length=32,
                    ),
                ),
                (
                    "priority",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "high"), (1, "medium"), (2, "low")], default=1
                    ),
                ),
                ("variables", models.JSONField(default=dict)),
                ("max_tokens", models.PositiveIntegerField()),
                ("account_id", models.UUIDField(blank=True, null=True)),
                ("campaign_id", models.UUIDField(blank=True, db_index=True, null=True)),
                ("user_id", models.UUIDField(blank=True, null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("running", "Running"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                        ],
                        default="pending",
                        max_length=16,
                    ),
                ),
                ("lease_expires_at", models.DateTimeField(blank=True, null=True)),
                (
                    "attempts",
                    models.PositiveSmallIntegerField(default=0, help_text="Calls made to providers."),
                ),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "explain",
                    models.JSONField(
                        default=list, help_text="Why each deployment was chosen or passed over."
                    ),
                ),
                (
                    "source",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("provider", "Provider"),
                            ("cache", "Cache"),
                            ("stale", "Stale"),
                            ("template", "Template"),
                        ],
                        max_length=16,
                    ),
                ),
                ("model", models.CharField(blank=True, max_length=100)),
                ("text", models.TextField(blank=True)),
                ("data", models.JSONField(blank=True, null=True)),
                ("input_tokens", models.PositiveIntegerField(default=0)),
                ("cached_tokens", models.PositiveIntegerField(default=0)),
                ("output_tokens", models.PositiveIntegerField(default=0)),
                (
                    "cost",
                    apps.common.fields.MoneyField(
                        decimal_places=10, default=0, help_text="Of all attempts.", max_digits=20
                    ),
                ),
                ("currency", apps.common.fields.CurrencyField(default="USD", max_length=3)),
                ("latency", models.DurationField(blank=True, null=True)),
                ("error_code", models.CharField(blank=True, max_length=64)),
                ("error", models.TextField(blank=True)),
                (
                    "deployment",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ai.deployment",
                    ),
                ),
                (
                    "prompt",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ai.prompttemplate"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["tenant_id", "-id"], name="generation_by_tenant"),
                    models.Index(fields=["state"], name="generation_by_state"),
                    models.Index(
                        condition=models.Q(("state__in", ["pending", "running"])),
                        fields=["priority", "id"],
                        name="generation_open",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "task_kind__in",
                                [
                                    "planning",
                                    "multi_platform",
                                    "message",
                                    "quick_reply",
                                    "idea",
                                    "caption",
                                    "embedding",
                                ],
                            )
                        ),
                        name="generation_task_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("state__in", ["pending", "running", "succeeded", "failed"])),
                        name="generation_state_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("state", "running"), _negated=True),
                            ("lease_expires_at__isnull", False),
                            _connector="OR",
                        ),
                        name="generation_running_has_a_lease",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("finished_at__isnull", False), ("state__in", ["succeeded", "failed"])),
                            models.Q(("finished_at__isnull", True), ("state__in", ["pending", "running"])),
                            _connector="OR",
                        ),
                        name="generation_finished_has_its_time",
                    ),
                ],
            },
        ),
        ReadOnlyForTenants("ai_deployment"),
        ReadOnlyForTenants("ai_prompttemplate"),
        IsolateTenants("ai_generation"),
    ]
