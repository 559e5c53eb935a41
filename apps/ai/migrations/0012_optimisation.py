import datetime

import django.db.models.deletion
import django.db.models.functions.datetime
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

import apps.common.fields
import apps.common.ids
from apps.common.rls import IsolateTenants


class Migration(migrations.Migration):
    dependencies = [
        ("ai", "0011_lighter_ending"),
    ]

    operations = [
        migrations.CreateModel(
            name="Analysis",
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
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                        ],
                        default="pending",
                        max_length=16,
                    ),
                ),
                (
                    "requested_by",
                    models.CharField(blank=True, help_text="Empty: the nightly one.", max_length=254),
                ),
                ("lease_expires_at", models.DateTimeField(blank=True, null=True)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                (
                    "since",
                    models.DateTimeField(
                        blank=True, help_text="The first question that was looked at.", null=True
                    ),
                ),
                (
                    "generations",
                    models.PositiveIntegerField(default=0, help_text="Questions that were looked at."),
                ),
                (
                    "is_sample",
                    models.BooleanField(
                        default=False, help_text="There were more, and only the newest were read."
                    ),
                ),
                (
                    "found",
                    models.PositiveSmallIntegerField(default=0, help_text="Recommendations that hold."),
                ),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("error", models.TextField(blank=True)),
            ],
            options={
                "verbose_name_plural": "analyses",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="Recommendation",
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
                            ("repeated_prompts", "Repeated Prompts"),
                            ("cache_misses", "Cache Misses"),
                            ("dear_model", "dear model for simple work"),
                            ("long_contexts", "Long Contexts"),
                            ("retries", "Retries"),
                        ],
                        max_length=32,
                    ),
                ),
                ("subject", models.CharField(help_text="What it is about, within its kind.", max_length=200)),
                (
                    "task_kind",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("planning", "Planning"),
                            ("multi_platform", "multi-platform"),
                            ("message", "Message"),
                            ("quick_reply", "quick reply"),
                            ("idea", "Idea"),
                            ("caption", "Caption"),
                            ("embedding", "Embedding"),
                            ("replay", "Replay"),
                        ],
                        max_length=32,
                    ),
                ),
                ("advice", models.TextField(help_text="What to change, in words.")),
                (
                    "change",
                    models.JSONField(
                        blank=True,
                        help_text="What applying it sets for the kind of task; empty: only people can.",
                        null=True,
                    ),
                ),
                (
                    "monthly_saving",
                    apps.common.fields.MoneyField(
                        decimal_places=10, help_text="What it is expected to save in 30 days.", max_digits=20
                    ),
                ),
                ("currency", apps.common.fields.CurrencyField(default="USD", max_length=3)),
                ("confidence", models.DecimalField(decimal_places=2, max_digits=3)),
                ("reasons", models.JSONField(default=list, help_text="What the confidence comes from.")),
                (
                    "evidence",
                    models.JSONField(default=dict, help_text="The figures, and generations to look at."),
                ),
                ("analysed_at", models.DateTimeField()),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("verifying", "Verifying"),
                            ("verified", "Verified"),
                            ("rejected", "Rejected"),
                            ("applied", "Applied"),
                            ("reverted", "Reverted"),
                            ("dismissed", "Dismissed"),
                            ("obsolete", "Obsolete"),
                        ],
                        default="open",
                        max_length=16,
                    ),
                ),
                ("remark", models.TextField(blank=True, help_text="Why its status is what it is.")),
                (
                    "quiet_until",
                    models.DateTimeField(
                        blank=True, help_text="It is not recommended again before that.", null=True
                    ),
                ),
                (
                    "verification_cost",
                    apps.common.fields.MoneyField(
                        decimal_places=10, default=0, help_text="Of all its replays.", max_digits=20
                    ),
                ),
                ("verified_at", models.DateTimeField(blank=True, null=True)),
                ("applied_at", models.DateTimeField(blank=True, null=True)),
                ("applied_by", models.CharField(blank=True, max_length=254)),
                ("reverted_at", models.DateTimeField(blank=True, null=True)),
                ("before", models.JSONField(blank=True, help_text="What applying it replaced.", null=True)),
                ("after", models.JSONField(blank=True, help_text="What applying it set.", null=True)),
                (
                    "baseline_since",
                    models.DateTimeField(
                        blank=True,
                        help_text="The first question of the 30 days before it was applied.",
                        null=True,
                    ),
                ),
                (
                    "baseline_calls",
                    models.PositiveIntegerField(
                        blank=True, help_text="Questions of the kind in these days.", null=True
                    ),
                ),
                (
                    "baseline_cost",
                    apps.common.fields.MoneyField(blank=True, decimal_places=10, max_digits=20, null=True),
                ),
                ("measured_at", models.DateTimeField(blank=True, null=True)),
                (
                    "measured_calls",
                    models.PositiveIntegerField(
                        blank=True, help_text="Questions of the kind since it was applied.", null=True
                    ),
                ),
                (
                    "measured_cost",
                    apps.common.fields.MoneyField(blank=True, decimal_places=10, max_digits=20, null=True),
                ),
                (
                    "measured_saving",
                    apps.common.fields.MoneyField(
                        blank=True,
                        decimal_places=10,
                        help_text="Empty: not enough calls yet.",
                        max_digits=20,
                        null=True,
                    ),
                ),
                (
                    "predicted_saving",
                    apps.common.fields.MoneyField(
                        blank=True,
                        decimal_places=10,
                        help_text="What was expected of so many calls.",
                        max_digits=20,
                        null=True,
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="Replay",
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
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("judging", "Judging"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                        ],
                        default="running",
                        max_length=16,
                    ),
                ),
                ("requested_by", models.CharField(blank=True, max_length=254)),
                ("judged", models.BooleanField(help_text="An advanced model compares the answers.")),
                (
                    "threshold",
                    models.DecimalField(
                        decimal_places=2,
                        help_text="The lower bound of the score has to reach it.",
                        max_digits=3,
                    ),
                ),
                (
                    "max_cost",
                    apps.common.fields.MoneyField(
                        decimal_places=10,
                        help_text="Beyond it what isn't asked yet is not asked any more.",
                        max_digits=20,
                    ),
                ),
                ("cost", apps.common.fields.MoneyField(decimal_places=10, default=0, max_digits=20)),
                ("currency", apps.common.fields.CurrencyField(default="USD", max_length=3)),
                ("score", models.DecimalField(blank=True, decimal_places=4, max_digits=5, null=True)),
                ("lower", models.DecimalField(blank=True, decimal_places=4, max_digits=5, null=True)),
                ("upper", models.DecimalField(blank=True, decimal_places=4, max_digits=5, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("error", models.TextField(blank=True)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="ReplayItem",
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
                ("original_id", models.UUIDField(help_text="The generation that is asked again.")),
                ("generation_id", models.UUIDField()),
                ("judge_id", models.UUIDField(blank=True, null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("judging", "Judging"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                        ],
                        default="running",
                        max_length=16,
                    ),
                ),
                ("scores", models.JSONField(default=dict, help_text="What the score is made of.")),
                ("score", models.DecimalField(blank=True, decimal_places=4, max_digits=5, null=True)),
                ("original_cost", apps.common.fields.MoneyField(decimal_places=10, default=0, max_digits=20)),
                (
                    "cost",
                    apps.common.fields.MoneyField(
                        decimal_places=10,
                        default=0,
                        help_text="Of asking again, and of judging.",
                        max_digits=20,
                    ),
                ),
                ("currency", apps.common.fields.CurrencyField(default="USD", max_length=3)),
                ("error", models.TextField(blank=True)),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="TaskPreference",
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
                            ("replay", "Replay"),
                        ],
                        max_length=32,
                    ),
                ),
                (
                    "fresh",
                    models.DurationField(
                        blank=True,
                        help_text="For how long an answer is given instead of a new one.",
                        null=True,
                    ),
                ),
                (
                    "stale",
                    models.DurationField(
                        blank=True,
                        help_text="For how long optional work gets it that nobody can do now.",
                        null=True,
                    ),
                ),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="generation",
            name="generation_task_kind_known",
        ),
        migrations.RemoveConstraint(
            model_name="prompttemplate",
            name="prompt_task_kind_known",
        ),
        migrations.AddField(
            model_name="generation",
            name="pinned_id",
            field=models.UUIDField(
                blank=True,
                help_text="The one deployment that is asked: a replay of another question.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="generation",
            name="task_kind",
            field=models.CharField(
                choices=[
                    ("planning", "Planning"),
                    ("multi_platform", "multi-platform"),
                    ("message", "Message"),
                    ("quick_reply", "quick reply"),
                    ("idea", "Idea"),
                    ("caption", "Caption"),
                    ("embedding", "Embedding"),
                    ("replay", "Replay"),
                ],
                max_length=32,
            ),
        ),
        migrations.AlterField(
            model_name="prompttemplate",
            name="task_kind",
            field=models.CharField(
                choices=[
                    ("planning", "Planning"),
                    ("multi_platform", "multi-platform"),
                    ("message", "Message"),
                    ("quick_reply", "quick reply"),
                    ("idea", "Idea"),
                    ("caption", "Caption"),
                    ("embedding", "Embedding"),
                    ("replay", "Replay"),
                ],
                max_length=32,
            ),
        ),
        # What is there was held against the narrower one, so there is nothing to look through the table for.
        AddConstraintNotValid(
            model_name="generation",
            constraint=models.CheckConstraint(
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
                            "replay",
                        ],
                    )
                ),
                name="generation_task_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="prompttemplate",
            constraint=models.CheckConstraint(
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
                            "replay",
                        ],
                    )
                ),
                name="prompt_task_kind_known",
            ),
        ),
        migrations.AddIndex(
            model_name="analysis",
            index=models.Index(fields=["tenant_id", "-id"], name="analysis_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="analysis",
            index=models.Index(
                condition=models.Q(("state__in", ["pending", "running"])), fields=["id"], name="analysis_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="analysis",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["pending", "running", "done", "failed"])),
                name="analysis_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="analysis",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["pending", "running"])),
                fields=("tenant_id",),
                name="analysis_one_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="analysis",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "running"), _negated=True),
                    ("lease_expires_at__isnull", False),
                    _connector="OR",
                ),
                name="analysis_running_has_a_lease",
            ),
        ),
        migrations.AddIndex(
            model_name="recommendation",
            index=models.Index(fields=["tenant_id", "-id"], name="recommendation_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="recommendation",
            index=models.Index(
                condition=models.Q(("status", "applied")), fields=["id"], name="recommendation_applied"
            ),
        ),
        migrations.AddConstraint(
            model_name="recommendation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "kind__in",
                        ["repeated_prompts", "cache_misses", "dear_model", "long_contexts", "retries"],
                    )
                ),
                name="recommendation_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="recommendation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "status__in",
                        [
                            "open",
                            "verifying",
                            "verified",
                            "rejected",
                            "applied",
                            "reverted",
                            "dismissed",
                            "obsolete",
                        ],
                    )
                ),
                name="recommendation_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="recommendation",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ["open", "verifying", "verified", "applied"])),
                fields=("tenant_id", "kind", "subject"),
                name="recommendation_one_current",
            ),
        ),
        migrations.AddConstraint(
            model_name="recommendation",
            constraint=models.CheckConstraint(
                condition=models.Q(("confidence__gte", 0), ("confidence__lte", 1)),
                name="recommendation_confidence_is_a_share",
            ),
        ),
        migrations.AddConstraint(
            model_name="recommendation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status__in", ["applied", "reverted"]), _negated=True),
                    models.Q(
                        ("after__isnull", False), ("applied_at__isnull", False), ("before__isnull", False)
                    ),
                    _connector="OR",
                ),
                name="recommendation_applied_knows_what",
            ),
        ),
        migrations.AddField(
            model_name="replay",
            name="deployment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ai.deployment"
            ),
        ),
        migrations.AddField(
            model_name="replay",
            name="recommendation",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="replays", to="ai.recommendation"
            ),
        ),
        migrations.AddField(
            model_name="replayitem",
            name="replay",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="items", to="ai.replay"
            ),
        ),
        migrations.AddField(
            model_name="taskpreference",
            name="deployment",
            field=models.ForeignKey(
                blank=True,
                help_text="It is asked first, unless little is left of a budget; empty: as routing has it.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="ai.deployment",
            ),
        ),
        migrations.AddIndex(
            model_name="replay",
            index=models.Index(
                condition=models.Q(("state__in", ["running", "judging"])), fields=["id"], name="replay_open"
            ),
        ),
        migrations.AddConstraint(
            model_name="replay",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["running", "judging", "done", "failed"])),
                name="replay_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="replay",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["running", "judging"])),
                fields=("recommendation",),
                name="replay_one_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="replay",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("finished_at__isnull", True), ("state__in", ["running", "judging"])),
                    models.Q(("finished_at__isnull", False), ("state__in", ["done", "failed"])),
                    _connector="OR",
                ),
                name="replay_finished_has_its_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="replayitem",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["running", "judging", "done", "failed"])),
                name="replayitem_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="replayitem",
            constraint=models.UniqueConstraint(fields=("replay", "original_id"), name="replayitem_unique"),
        ),
        migrations.AddConstraint(
            model_name="taskpreference",
            constraint=models.UniqueConstraint(
                fields=("tenant_id", "task_kind"),
                name="taskpreference_one_per_kind",
                violation_error_message="This tenant has a row for this kind of task: change that one.",
            ),
        ),
        migrations.AddConstraint(
            model_name="taskpreference",
            constraint=models.CheckConstraint(
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
                            "replay",
                        ],
                    )
                ),
                name="taskpreference_task_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="taskpreference",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("fresh__isnull", True), ("stale__isnull", True)),
                    models.Q(
                        ("fresh__gte", datetime.timedelta(0)),
                        ("fresh__isnull", False),
                        ("stale__gte", models.F("fresh")),
                        ("stale__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="taskpreference_fresh_before_stale",
                violation_error_message="Give both times or none; fresh lies between nothing and stale.",
            ),
        ),
        IsolateTenants("ai_taskpreference"),
        IsolateTenants("ai_analysis"),
        IsolateTenants("ai_recommendation"),
        IsolateTenants("ai_replay"),
        IsolateTenants("ai_replayitem"),
    ]
