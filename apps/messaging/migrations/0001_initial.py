import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.fields
import apps.common.ids
import apps.tenants.models
from apps.common.rls import IsolateTenants


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("common", "0002_idempotency"),
    ]

    operations = [
        migrations.CreateModel(
            name="Outbox",
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
                ("campaign_id", models.UUIDField(null=True, unique=True)),
                (
                    "priority",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "high"), (1, "medium"), (2, "low")], default=1
                    ),
                ),
                ("paused_at", models.DateTimeField(blank=True, null=True)),
                ("cancelled_at", models.DateTimeField(blank=True, null=True)),
                ("closed_at", models.DateTimeField(blank=True, null=True)),
                ("queued", models.PositiveIntegerField(default=0)),
                ("sending", models.PositiveIntegerField(default=0)),
                ("sent", models.PositiveIntegerField(default=0)),
                ("unknown", models.PositiveIntegerField(default=0)),
                ("dead", models.PositiveIntegerField(default=0)),
                ("cancelled", models.PositiveIntegerField(default=0)),
            ],
            options={
                "verbose_name_plural": "outboxes",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="Account",
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
                    "platform",
                    models.CharField(
                        choices=[("onlyfans", "OnlyFans"), ("instagram", "Instagram"), ("tiktok", "TikTok")],
                        default="onlyfans",
                        max_length=16,
                    ),
                ),
                ("external_id", models.CharField(help_text="The platform's own id.", max_length=128)),
                ("name", models.CharField(max_length=200)),
                (
                    "credential",
                    apps.common.fields.EncryptedTextField(
                        help_text="The platform's token for this account; stored encrypted, never shown."
                    ),
                ),
                (
                    "limit_count",
                    models.PositiveIntegerField(
                        default=10,
                        help_text="At most so many messages…",
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "limit_seconds",
                    models.PositiveIntegerField(
                        default=60,
                        help_text="…in any window of so many seconds.",
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "time_zone",
                    models.CharField(
                        default="UTC", max_length=64, validators=[apps.tenants.models.validate_time_zone]
                    ),
                ),
                (
                    "quiet_start",
                    models.TimeField(blank=True, help_text="Nothing is sent from here…", null=True),
                ),
                (
                    "quiet_end",
                    models.TimeField(
                        blank=True, help_text="…to here, in the account's time zone.", null=True
                    ),
                ),
                ("paused_at", models.DateTimeField(blank=True, null=True)),
                ("pause_reason", models.CharField(blank=True, max_length=200)),
                (
                    "next_due",
                    models.DateTimeField(
                        blank=True,
                        editable=False,
                        help_text="When to look at its queue again; empty: nothing to do.",
                        null=True,
                    ),
                ),
                (
                    "blocked_until",
                    models.DateTimeField(
                        blank=True,
                        editable=False,
                        help_text="The platform, or quiet hours, allow nothing before this.",
                        null=True,
                    ),
                ),
            ],
            options={
                "ordering": ["name", "id"],
                "indexes": [
                    models.Index(fields=["tenant_id", "id"], name="account_by_tenant"),
                    models.Index(
                        condition=models.Q(("next_due__isnull", False), ("paused_at__isnull", True)),
                        fields=["next_due"],
                        name="account_due",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("platform", "external_id"),
                        name="account_unique",
                        violation_error_message="This account of the platform is already connected.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("platform__in", ["onlyfans", "instagram", "tiktok"])),
                        name="account_platform_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("limit_count__gt", 0), ("limit_seconds__gt", 0)),
                        name="account_limit_positive",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("quiet_end__isnull", True), ("quiet_start__isnull", True)),
                            models.Q(("quiet_end__isnull", False), ("quiet_start__isnull", False)),
                            _connector="OR",
                        ),
                        name="account_quiet_hours_whole",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("next_due__isnull", True),
                            ("blocked_until__isnull", True),
                            ("next_due__gte", models.F("blocked_until")),
                            _connector="OR",
                        ),
                        name="account_due_after_block",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Fan",
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
                ("external_id", models.CharField(help_text="The platform's own id.", max_length=128)),
                ("name", models.CharField(blank=True, max_length=200)),
                ("attributes", models.JSONField(blank=True, default=dict)),
                ("spend", apps.common.fields.MoneyField(decimal_places=10, default=0, max_digits=20)),
                ("last_purchase_at", models.DateTimeField(blank=True, null=True)),
                (
                    "consent",
                    models.BooleanField(
                        default=True, help_text="Without it the fan is written to by nobody."
                    ),
                ),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="fans",
                        to="messaging.account",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="MessageTemplate",
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
                ("body", models.TextField()),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="messaging.account"
                    ),
                ),
                (
                    "outbox",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="templates",
                        to="messaging.outbox",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Message",
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
                    "text",
                    models.TextField(
                        blank=True,
                        help_text="Rendered at the first claim, then sent byte for byte.",
                        null=True,
                    ),
                ),
                ("price", models.DecimalField(blank=True, decimal_places=2, max_digits=10, null=True)),
                ("media", models.JSONField(blank=True, default=list)),
                (
                    "priority",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "high"), (1, "medium"), (2, "low")], default=1
                    ),
                ),
                ("not_before", models.DateTimeField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("sending", "Sending"),
                            ("unknown", "Unknown"),
                            ("sent", "Sent"),
                            ("dead", "Dead"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="queued",
                        max_length=16,
                    ),
                ),
                (
                    "attempt",
                    models.PositiveIntegerField(default=0, help_text="Grants so far; guards late outcomes."),
                ),
                (
                    "failures",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="Attempts that count towards the cap."
                    ),
                ),
                (
                    "slots",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.DateTimeField(),
                        default=list,
                        help_text="The limiter's stamp of every granted attempt.",
                        size=None,
                    ),
                ),
                (
                    "newest_slot",
                    models.GeneratedField(
                        db_persist=True,
                        expression=models.Func(
                            models.F("slots"), template="(%(expressions)s)[array_upper(%(expressions)s, 1)]"
                        ),
                        output_field=models.DateTimeField(null=True),
                    ),
                ),
                ("lease_expires_at", models.DateTimeField(blank=True, null=True)),
                ("send_by", models.DateTimeField(blank=True, null=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                (
                    "look_up_at",
                    models.DateTimeField(
                        blank=True, help_text="When to ask the platform about an unknown one.", null=True
                    ),
                ),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "platform_id",
                    models.CharField(
                        blank=True, help_text="The platform's id of the message.", max_length=128
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("error", models.TextField(blank=True)),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="messages",
                        to="messaging.account",
                    ),
                ),
                (
                    "fan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="messages",
                        to="messaging.fan",
                    ),
                ),
                (
                    "template",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="messaging.messagetemplate",
                    ),
                ),
                (
                    "outbox",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="messages",
                        to="messaging.outbox",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.AddConstraint(
            model_name="fan",
            constraint=models.UniqueConstraint(
                fields=("account", "external_id"),
                name="fan_unique",
                violation_error_message="This account has a fan with this external_id.",
            ),
        ),
        migrations.AddConstraint(
            model_name="fan",
            constraint=models.CheckConstraint(
                condition=models.Q(("spend__gte", 0)), name="fan_spend_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="messagetemplate",
            constraint=models.UniqueConstraint(fields=("outbox", "account"), name="messagetemplate_unique"),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("state", "queued")),
                fields=["account", "outbox", "priority", "not_before", "id"],
                name="message_queue",
            ),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(fields=["tenant_id", "-id"], name="message_by_tenant"),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("outbox__isnull", True)), fields=["state"], name="message_single"
            ),
        ),
        migrations.AddIndex(
            model_name="fan",
            index=models.Index(fields=["account", "id"], name="fan_by_account"),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(fields=["account", "-id"], name="message_by_account"),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("newest_slot__isnull", False)),
                fields=["account", "newest_slot"],
                name="message_slots",
            ),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("state", "sending")), fields=["lease_expires_at"], name="message_leases"
            ),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("state", "unknown")), fields=["look_up_at"], name="message_unknown"
            ),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.UniqueConstraint(fields=("outbox", "fan"), name="message_one_per_fan"),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("state__in", ["queued", "sending", "unknown", "sent", "dead", "cancelled"])
                ),
                name="message_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.CheckConstraint(
                condition=models.Q(("text__isnull", False), ("template__isnull", False), _connector="OR"),
                name="message_has_words",
            ),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "sending"), _negated=True),
                    models.Q(
                        ("lease_expires_at__isnull", False),
                        ("send_by__isnull", False),
                        ("text__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="message_sending_has_a_lease",
            ),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("sent_at__isnull", False), ("state", "sent")),
                    models.Q(models.Q(("state", "sent"), _negated=True), ("sent_at__isnull", True)),
                    _connector="OR",
                ),
                name="message_sent_has_its_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("finished_at__isnull", False), ("state__in", ["sent", "dead", "cancelled"])),
                    models.Q(("finished_at__isnull", True), ("state__in", ["queued", "sending", "unknown"])),
                    _connector="OR",
                ),
                name="message_finished_has_its_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.CheckConstraint(
                condition=models.Q(("price__isnull", True), ("price__gt", 0), _connector="OR"),
                name="message_price_positive",
            ),
        ),
        IsolateTenants("messaging_account"),
        IsolateTenants("messaging_fan"),
        IsolateTenants("messaging_outbox"),
        IsolateTenants("messaging_messagetemplate"),
        IsolateTenants("messaging_message"),
    ]
