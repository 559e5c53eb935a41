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
            name="Campaign",
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
                ("name", models.CharField(max_length=200)),
                (
                    "type",
                    models.CharField(
                        choices=[
                            ("mass_message", "mass message"),
                            ("welcome", "Welcome"),
                            ("expiring", "Expiring"),
                            ("winback", "Winback"),
                            ("ppv", "pay per view"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "brief",
                    models.TextField(
                        help_text="What the campaign is about, in the words of whoever asks for it."
                    ),
                ),
                ("tone", models.CharField(blank=True, max_length=100)),
                (
                    "segment",
                    models.JSONField(
                        blank=True, default=dict, help_text="Which fans: {include: {}, exclude: {}}."
                    ),
                ),
                ("price", models.DecimalField(blank=True, decimal_places=2, max_digits=10, null=True)),
                (
                    "personalisation",
                    models.CharField(
                        choices=[
                            ("template", "one text with variables per account"),
                            ("per_fan", "a text of its own for every fan"),
                        ],
                        default="template",
                        max_length=16,
                    ),
                ),
                (
                    "approval",
                    models.CharField(
                        choices=[("manual", "Manual"), ("automatic", "Automatic")],
                        default="manual",
                        max_length=16,
                    ),
                ),
                ("not_before", models.DateTimeField(blank=True, null=True)),
                (
                    "priority",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "high"), (1, "medium"), (2, "low")], default=1
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("planning", "Planning"),
                            ("personalising", "Personalising"),
                            ("awaiting_approval", "awaiting approval"),
                            ("dispatching", "Dispatching"),
                            ("finished", "Finished"),
                            ("cancelled", "Cancelled"),
                            ("failed", "Failed"),
                        ],
                        default="planning",
                        max_length=20,
                    ),
                ),
                ("plan", models.JSONField(blank=True, null=True)),
                ("approved_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "reason",
                    models.TextField(blank=True, help_text="Why it was rejected, cancelled or failed."),
                ),
                (
                    "outbox",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="campaign",
                        to="messaging.outbox",
                    ),
                ),
                (
                    "plan_generation",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ai.generation",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="CampaignAccount",
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
                    "account",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="messaging.account"),
                ),
                (
                    "campaign",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="campaigns.campaign"),
                ),
            ],
        ),
        migrations.AddField(
            model_name="campaign",
            name="accounts",
            field=models.ManyToManyField(
                related_name="campaigns", through="campaigns.CampaignAccount", to="messaging.account"
            ),
        ),
        migrations.CreateModel(
            name="WorkflowStep",
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
                    "name",
                    models.CharField(
                        choices=[
                            ("plan", "Plan"),
                            ("personalise", "Personalise"),
                            ("approve", "Approve"),
                            ("dispatch", "Dispatch"),
                            ("finish", "Finish"),
                        ],
                        max_length=16,
                    ),
                ),
                ("position", models.PositiveSmallIntegerField()),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                            ("skipped", "Skipped"),
                        ],
                        default="pending",
                        max_length=16,
                    ),
                ),
                (
                    "cursor",
                    models.JSONField(
                        blank=True, default=dict, help_text="How far the step has come, to go on from there."
                    ),
                ),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("error", models.TextField(blank=True)),
                (
                    "campaign",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="steps",
                        to="campaigns.campaign",
                    ),
                ),
            ],
            options={
                "ordering": ["campaign", "position"],
            },
        ),
        migrations.AddConstraint(
            model_name="campaignaccount",
            constraint=models.UniqueConstraint(fields=("campaign", "account"), name="campaignaccount_unique"),
        ),
        migrations.AddIndex(
            model_name="campaign",
            index=models.Index(fields=["tenant_id", "-id"], name="campaign_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="campaign",
            index=models.Index(
                condition=models.Q(
                    ("status__in", ["planning", "personalising", "awaiting_approval", "dispatching"])
                ),
                fields=["id"],
                name="campaign_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("type__in", ["mass_message", "welcome", "expiring", "winback", "ppv"])),
                name="campaign_type_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("personalisation__in", ["template", "per_fan"])),
                name="campaign_personalisation_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("approval__in", ["manual", "automatic"])), name="campaign_approval_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "planning",
                            "personalising",
                            "awaiting_approval",
                            "dispatching",
                            "finished",
                            "cancelled",
                            "failed",
                        ],
                    )
                ),
                name="campaign_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(("price__isnull", True), ("price__gt", 0), _connector="OR"),
                name="campaign_price_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("finished_at__isnull", False), ("status__in", ["finished", "cancelled", "failed"])
                    ),
                    models.Q(
                        models.Q(("status__in", ["finished", "cancelled", "failed"]), _negated=True),
                        ("finished_at__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="campaign_finished_has_its_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="campaign",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status", "dispatching"), _negated=True),
                    ("approved_at__isnull", False),
                    _connector="OR",
                ),
                name="campaign_dispatching_is_approved",
            ),
        ),
        migrations.AddConstraint(
            model_name="workflowstep",
            constraint=models.UniqueConstraint(fields=("campaign", "name"), name="workflowstep_unique"),
        ),
        migrations.AddConstraint(
            model_name="workflowstep",
            constraint=models.CheckConstraint(
                condition=models.Q(("name__in", ["plan", "personalise", "approve", "dispatch", "finish"])),
                name="workflowstep_name_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="workflowstep",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["pending", "running", "done", "failed", "skipped"])),
                name="workflowstep_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="workflowstep",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("finished_at__isnull", False), ("status__in", ["done", "failed", "skipped"])),
                    models.Q(("finished_at__isnull", True), ("status__in", ["pending", "running"])),
                    _connector="OR",
                ),
                name="workflowstep_finished_has_its_time",
            ),
        ),
        IsolateTenants("campaigns_campaign"),
        IsolateTenants("campaigns_campaignaccount"),
        IsolateTenants("campaigns_workflowstep"),
    ]
