import django.core.validators
import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.ids
import apps.tenants.models
from apps.common.rls import SystemOnly

# Whatever way a limit changes, the epoch does too: a log that was kept under other limits may lack stamps. And
# what the old limits blocked is asked again.
# Accounts' own limits need none of it: an account's log says how far back it reaches.
_LIMITS_BEGIN_AN_EPOCH = """
CREATE FUNCTION messaging_begin_epoch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Those that wait for a slot may have one now. Locked in the order that everybody keeps, before any other row.
    PERFORM id FROM messaging_account
    WHERE next_due > GREATEST(blocked_until, now()) ORDER BY id FOR NO KEY UPDATE;
    UPDATE messaging_account SET next_due = GREATEST(blocked_until, now())
    WHERE next_due > GREATEST(blocked_until, now());
    UPDATE messaging_dispatchepoch SET number = number + 1, reason = 'limits changed', changed_at = now();
    DELETE FROM messaging_sendblock;
    RETURN NULL;
END $$;
CREATE TRIGGER sendlimit_begins_an_epoch
    AFTER INSERT OR UPDATE OR DELETE ON messaging_sendlimit
    FOR EACH STATEMENT EXECUTE FUNCTION messaging_begin_epoch();
"""
_LIMITS_BEGIN_NONE = """
DROP TRIGGER sendlimit_begins_an_epoch ON messaging_sendlimit;
DROP FUNCTION messaging_begin_epoch();
"""
# Tenants see the limits that are everybody's, and their own.
_SHOW_LIMITS = """
CREATE POLICY tenant ON messaging_sendlimit FOR SELECT TO huntaze_app USING (
    subject_id IS NULL
    OR subject_id = (SELECT nullif(current_setting('huntaze.tenant_id', true), '')::uuid)
);
"""
_FIRST_EPOCH = (
    "INSERT INTO messaging_dispatchepoch (id, number, mode, reason) VALUES (1, 1, 'redis', 'installed')"
)


class Migration(migrations.Migration):
    dependencies = [
        ("messaging", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="DispatchEpoch",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("number", models.PositiveBigIntegerField(default=1)),
                (
                    "mode",
                    models.CharField(
                        choices=[("redis", "Redis"), ("postgres", "PostgreSQL")],
                        default="redis",
                        max_length=16,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=200)),
                ("changed_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name="DispatchWorker",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                ("seen_at", models.DateTimeField()),
                ("redis_at", models.DateTimeField(help_text="When it last reached Redis.", null=True)),
                (
                    "redis_since",
                    models.DateTimeField(help_text="Since when it has reached Redis every time.", null=True),
                ),
                (
                    "skew_low_us",
                    models.BigIntegerField(
                        help_text="Redis's clock is ahead of PostgreSQL's by at least so many microseconds…",
                        null=True,
                    ),
                ),
                ("skew_high_us", models.BigIntegerField(help_text="…and at most so many.", null=True)),
                (
                    "holds",
                    models.CharField(
                        blank=True, help_text="Why it claims nothing; empty: it does.", max_length=200
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PlatformState",
            fields=[
                (
                    "platform",
                    models.CharField(
                        choices=[("onlyfans", "OnlyFans"), ("instagram", "Instagram"), ("tiktok", "TikTok")],
                        max_length=16,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("paused_at", models.DateTimeField(blank=True, null=True)),
                ("pause_reason", models.CharField(blank=True, max_length=200)),
                (
                    "breaker",
                    models.CharField(
                        choices=[("closed", "Closed"), ("open", "Open"), ("half_open", "half-open")],
                        default="closed",
                        max_length=16,
                    ),
                ),
                (
                    "failures",
                    models.PositiveIntegerField(default=0, help_text="Failures since the last answer."),
                ),
                (
                    "openings",
                    models.PositiveIntegerField(default=0, help_text="How often it has opened since then."),
                ),
                (
                    "open_until",
                    models.DateTimeField(
                        blank=True,
                        help_text="No probe is sent before this, or while the last one is under way.",
                        null=True,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="SendBlock",
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
                    "layer",
                    models.CharField(
                        choices=[
                            ("recipient", "Recipient within an account"),
                            ("account", "Account"),
                            ("user", "User"),
                            ("tenant", "Tenant"),
                            ("global", "Everything"),
                        ],
                        max_length=16,
                    ),
                ),
                ("subject_id", models.UUIDField(null=True)),
                ("until", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="SendLimit",
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
                    "layer",
                    models.CharField(
                        choices=[
                            ("recipient", "Recipient within an account"),
                            ("account", "Account"),
                            ("user", "User"),
                            ("tenant", "Tenant"),
                            ("global", "Everything"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "platform",
                    models.CharField(
                        blank=True,
                        choices=[("onlyfans", "OnlyFans"), ("instagram", "Instagram"), ("tiktok", "TikTok")],
                        help_text="For recipients and accounts; empty: on every platform.",
                        max_length=16,
                    ),
                ),
                (
                    "subject_id",
                    models.UUIDField(
                        blank=True,
                        help_text="The user or tenant it is for; empty: each that has none of its own.",
                        null=True,
                    ),
                ),
                (
                    "count",
                    models.PositiveIntegerField(
                        help_text="At most so many messages…",
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "seconds",
                    models.PositiveIntegerField(
                        help_text="…in any window of so many seconds.",
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "min_gap_ms",
                    models.PositiveIntegerField(
                        default=0, help_text="At least so many milliseconds between two; 0: none."
                    ),
                ),
            ],
            options={
                "ordering": ["layer", "platform", "subject_id"],
            },
        ),
        migrations.RemoveConstraint(
            model_name="account",
            name="account_limit_positive",
        ),
        migrations.RemoveIndex(
            model_name="account",
            name="account_due",
        ),
        migrations.AddField(
            model_name="account",
            name="claims",
            field=models.PositiveBigIntegerField(
                db_default=0,
                default=0,
                editable=False,
                help_text="How many claims have granted it something; the limiter's log of it knows of as many.",
            ),
        ),
        migrations.AddField(
            model_name="account",
            name="fan_cap_count",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="At most so many messages of campaigns to the same fan…",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
                verbose_name="cap per fan",
            ),
        ),
        migrations.AddField(
            model_name="account",
            name="fan_cap_seconds",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="…in any window of so many seconds.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddField(
            model_name="account",
            name="fan_gap_seconds",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="At least so many seconds between two messages of campaigns to the same fan.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
                verbose_name="gap per fan",
            ),
        ),
        migrations.AddField(
            model_name="account",
            name="min_gap_ms",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                help_text="At least so many milliseconds between two messages; 0: none.",
                verbose_name="minimum gap",
            ),
        ),
        migrations.AddField(
            model_name="account",
            name="quiet_zone",
            field=models.CharField(
                choices=[
                    ("account", "The account's"),
                    ("fan", "Each fan's, or the account's where that isn't known"),
                ],
                db_default="account",
                default="account",
                help_text="Whose clock they go by.",
                max_length=8,
            ),
        ),
        migrations.AddField(
            model_name="fan",
            name="time_zone",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Empty: unknown, taken to be the account's.",
                max_length=64,
                validators=[apps.tenants.models.validate_time_zone],
            ),
        ),
        migrations.AddField(
            model_name="message",
            name="epoch",
            field=models.PositiveBigIntegerField(
                db_default=0, default=0, help_text="The limiter's epoch of the latest grant."
            ),
        ),
        migrations.AddField(
            model_name="message",
            name="is_probe",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Its latest attempt tried if the platform works again.",
            ),
        ),
        migrations.AddField(
            model_name="message",
            name="user_id",
            field=models.UUIDField(editable=False, help_text="Who enqueued it; null: an API key.", null=True),
        ),
        migrations.AddField(
            model_name="outbox",
            name="user_id",
            field=models.UUIDField(editable=False, help_text="Who made it; null: an API key.", null=True),
        ),
        migrations.AlterField(
            model_name="account",
            name="limit_count",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="At most so many messages… (empty: the platform's default)",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AlterField(
            model_name="account",
            name="limit_seconds",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="…in any window of so many seconds.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AlterField(
            model_name="account",
            name="quiet_end",
            field=models.TimeField(blank=True, help_text="…to here.", null=True),
        ),
        migrations.AddIndex(
            model_name="account",
            index=models.Index(
                condition=models.Q(("next_due__isnull", False), ("paused_at__isnull", True)),
                fields=["tenant_id", "next_due"],
                name="account_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(("quiet_zone__in", ["account", "fan"])), name="account_quiet_zone_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("limit_count__isnull", True), ("limit_seconds__isnull", True)),
                    models.Q(
                        ("limit_count__isnull", False),
                        ("limit_seconds__isnull", False),
                        ("limit_count__gt", 0),
                        ("limit_seconds__gt", 0),
                    ),
                    _connector="OR",
                ),
                name="account_limit_positive",
                violation_error_message="A limit needs both numbers, of at least 1, or neither.",
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("fan_cap_count__isnull", True), ("fan_cap_seconds__isnull", True)),
                    models.Q(
                        ("fan_cap_count__isnull", False),
                        ("fan_cap_seconds__isnull", False),
                        ("fan_cap_count__gt", 0),
                        ("fan_cap_seconds__gt", 0),
                    ),
                    _connector="OR",
                ),
                name="account_fan_cap_positive",
                violation_error_message="A cap needs both numbers, of at least 1, or neither.",
            ),
        ),
        migrations.AddConstraint(
            model_name="dispatchepoch",
            constraint=models.CheckConstraint(condition=models.Q(("id", 1)), name="dispatchepoch_one_row"),
        ),
        migrations.AddConstraint(
            model_name="dispatchepoch",
            constraint=models.CheckConstraint(
                condition=models.Q(("mode__in", ["redis", "postgres"])), name="dispatchepoch_mode_known"
            ),
        ),
        migrations.AddIndex(
            model_name="dispatchworker",
            index=models.Index(fields=["seen_at"], name="dispatchworker_seen"),
        ),
        migrations.AddConstraint(
            model_name="platformstate",
            constraint=models.CheckConstraint(
                condition=models.Q(("platform__in", ["onlyfans", "instagram", "tiktok"])),
                name="platformstate_platform_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="platformstate",
            constraint=models.CheckConstraint(
                condition=models.Q(("breaker__in", ["closed", "open", "half_open"])),
                name="platformstate_breaker_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="sendblock",
            constraint=models.UniqueConstraint(
                fields=("layer", "subject_id"), name="sendblock_unique", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="sendblock",
            constraint=models.CheckConstraint(
                condition=models.Q(("layer__in", ["recipient", "account", "user", "tenant", "global"])),
                name="sendblock_layer_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="sendlimit",
            constraint=models.UniqueConstraint(
                fields=("layer", "platform", "subject_id"),
                name="sendlimit_unique",
                nulls_distinct=False,
                violation_error_message="There is such a limit already: change that one.",
            ),
        ),
        migrations.AddConstraint(
            model_name="sendlimit",
            constraint=models.CheckConstraint(
                condition=models.Q(("layer__in", ["recipient", "account", "user", "tenant", "global"])),
                name="sendlimit_layer_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="sendlimit",
            constraint=models.CheckConstraint(
                condition=models.Q(("count__gt", 0), ("seconds__gt", 0)), name="sendlimit_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="sendlimit",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("layer__in", ["recipient", "account"]), ("platform", ""), _connector="OR"
                ),
                name="sendlimit_platform_where_it_counts",
                violation_error_message="Only limits of recipients and accounts differ by platform.",
            ),
        ),
        migrations.AddConstraint(
            model_name="sendlimit",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("layer__in", ["user", "tenant"]), ("subject_id__isnull", True), _connector="OR"
                ),
                name="sendlimit_subject_where_it_counts",
                violation_error_message="Only limits of users and tenants have a subject.",
            ),
        ),
        *(
            SystemOnly(f"messaging_{table}")
            for table in ("dispatchepoch", "dispatchworker", "platformstate", "sendblock", "sendlimit")
        ),
        migrations.RunSQL(_SHOW_LIMITS, reverse_sql="DROP POLICY tenant ON messaging_sendlimit"),
        migrations.RunSQL(_LIMITS_BEGIN_AN_EPOCH, reverse_sql=_LIMITS_BEGIN_NONE),
        migrations.RunSQL(_FIRST_EPOCH, reverse_sql=migrations.RunSQL.noop),
    ]
