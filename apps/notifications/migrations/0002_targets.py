import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.fields
import apps.common.ids
from apps.common.rls import IsolateTenants


class Migration(migrations.Migration):
    """Targets; the platform's own alerts; and what a delivery needs to be claimed, retried and given up."""

    dependencies = [
        ("notifications", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="NotificationTarget",
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
                    "tenant_id",
                    models.UUIDField(
                        blank=True,
                        editable=False,
                        help_text="The tenant that owns this row; empty: the platform.",
                        null=True,
                    ),
                ),
                (
                    "channel",
                    models.CharField(
                        choices=[("email", "e-mail"), ("slack", "Slack"), ("webhook", "webhook")],
                        max_length=16,
                    ),
                ),
                ("name", models.CharField(help_text="How people call it, such as #alerts.", max_length=100)),
                (
                    "address",
                    models.CharField(
                        blank=True,
                        help_text="For the channel e-mail.",
                        max_length=254,
                        verbose_name="e-mail address",
                    ),
                ),
                (
                    "url",
                    apps.common.fields.EncryptedTextField(
                        blank=True,
                        default="",
                        help_text="For Slack and webhooks; stored encrypted, never shown.",
                        verbose_name="URL",
                    ),
                ),
                (
                    "signing_key",
                    apps.common.fields.EncryptedTextField(
                        blank=True, default="", help_text="Stored encrypted, never shown."
                    ),
                ),
                (
                    "minimum_level",
                    models.CharField(
                        choices=[("info", "Info"), ("warning", "Warning"), ("critical", "Critical")],
                        default="warning",
                        max_length=16,
                    ),
                ),
                (
                    "muted_rules",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64),
                        blank=True,
                        default=list,
                        help_text="Rules that it isn't told of.",
                        size=None,
                    ),
                ),
                (
                    "digest_minutes",
                    models.PositiveSmallIntegerField(
                        default=0,
                        help_text="Collect alerts for so long into one message; critical ones don't wait. 0: each at once.",
                        validators=[django.core.validators.MaxValueValidator(1440)],
                    ),
                ),
                ("is_active", models.BooleanField(default=True)),
            ],
            options={
                "ordering": ["name", "id"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="alert",
            name="alert_raised_once",
        ),
        migrations.RemoveConstraint(
            model_name="delivery",
            name="delivery_state_known",
        ),
        migrations.AddField(
            model_name="alert",
            name="acknowledged_by",
            field=models.CharField(blank=True, db_default="", max_length=254),
        ),
        migrations.AddField(
            model_name="delivery",
            name="due_at",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                help_text="Not before this is it sent, or tried again.",
            ),
        ),
        migrations.AddField(
            model_name="delivery",
            name="envelope_id",
            field=models.UUIDField(
                blank=True,
                editable=False,
                help_text="The message that it goes in, the same at each try: its Message-ID or webhook-id.",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="delivery",
            name="give_up_at",
            field=models.DateTimeField(blank=True, help_text="After this it isn't tried again.", null=True),
        ),
        migrations.AddField(
            model_name="delivery",
            name="interruptions",
            field=models.PositiveSmallIntegerField(
                db_default=0, default=0, help_text="How often it may have arrived without our knowing."
            ),
        ),
        migrations.AlterField(
            model_name="alert",
            name="muted_until",
            field=models.DateTimeField(
                blank=True, help_text="Until then nothing is sent of this rule and subject.", null=True
            ),
        ),
        migrations.AlterField(
            model_name="alert",
            name="tenant_id",
            field=models.UUIDField(
                blank=True,
                editable=False,
                help_text="The tenant that owns this row; empty: the platform.",
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="state",
            field=models.CharField(
                choices=[
                    ("pending", "Pending"),
                    ("sending", "Sending"),
                    ("sent", "Sent"),
                    ("failed", "Failed"),
                    ("muted", "Muted"),
                ],
                default="pending",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="tenant_id",
            field=models.UUIDField(
                blank=True,
                editable=False,
                help_text="The tenant that owns this row; empty: the platform.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["tenant_id", "-id"], name="alert_by_tenant"),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.UniqueConstraint(
                fields=("tenant_id", "rule", "subject", "period", "level"),
                name="alert_once",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="notificationtarget",
            constraint=models.UniqueConstraint(
                fields=("tenant_id", "channel", "name"),
                name="target_unique",
                nulls_distinct=False,
                violation_error_message="There is a target of this channel and name already.",
            ),
        ),
        migrations.AddConstraint(
            model_name="notificationtarget",
            constraint=models.CheckConstraint(
                condition=models.Q(("channel__in", ["email", "slack", "webhook"])),
                name="target_channel_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="notificationtarget",
            constraint=models.CheckConstraint(
                condition=models.Q(("minimum_level__in", ["info", "warning", "critical"])),
                name="target_minimum_level_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="notificationtarget",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("channel", "email"), models.Q(("address", ""), _negated=True)),
                    models.Q(models.Q(("channel", "email"), _negated=True), ("address", "")),
                    _connector="OR",
                ),
                name="target_has_its_address",
                violation_error_message="E-mail needs an address, and nothing else has one.",
            ),
        ),
        migrations.AddField(
            model_name="delivery",
            name="destination",
            field=models.ForeignKey(
                blank=True,
                help_text="Empty: one that the environment names.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="deliveries",
                to="notifications.notificationtarget",
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["pending", "sending", "sent", "failed", "muted"])),
                name="delivery_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "sending"), _negated=True),
                    models.Q(("envelope_id__isnull", False), ("lease_expires_at__isnull", False)),
                    _connector="OR",
                ),
                name="delivery_sending_has_a_lease",
            ),
        ),
        IsolateTenants("notifications_notificationtarget"),
    ]
