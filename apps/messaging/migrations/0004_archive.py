import django.contrib.postgres.fields
import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.ids
from apps.common.rls import IsolateTenants

# What is left of a message that has ended. By month of its id, which begins with the time it was made: so the
# primary key is unique over all partitions, finds one by its id alone, and lists the newest first.
_TABLE = """
CREATE TABLE messaging_messagearchive (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    fan_id uuid NOT NULL,
    outbox_id uuid,
    template_id uuid,
    user_id uuid,
    created_at timestamptz NOT NULL,
    not_before timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    sent_at timestamptz,
    archived_at timestamptz NOT NULL DEFAULT now(),
    attempt integer NOT NULL,
    failures smallint NOT NULL,
    priority smallint NOT NULL,
    state varchar(16) NOT NULL,
    price numeric(10, 2),
    reason varchar(64) NOT NULL,
    platform_id varchar(128) NOT NULL,
    text text,
    error text NOT NULL,
    media jsonb NOT NULL,
    slots timestamptz[] NOT NULL,
    CONSTRAINT messagearchive_has_ended CHECK (state IN ('sent', 'dead', 'cancelled'))
) PARTITION BY RANGE (id);
CREATE INDEX messagearchive_by_tenant ON messaging_messagearchive (tenant_id, id);
CREATE INDEX messagearchive_by_account ON messaging_messagearchive (account_id, id);
CREATE INDEX messagearchive_by_fan ON messaging_messagearchive (fan_id, id);
CREATE INDEX messagearchive_by_outbox ON messaging_messagearchive (outbox_id, id) WHERE outbox_id IS NOT NULL;
REVOKE UPDATE, DELETE, TRUNCATE ON messaging_messagearchive FROM huntaze_app, huntaze_system;
REVOKE INSERT ON messaging_messagearchive FROM huntaze_app;
"""

# Nobody may address a partition itself, where neither the policies nor the revoked rights of the archive hold.
_PARTITIONS = """
CREATE FUNCTION ensure_message_archive(months date[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    month date;
    partition text;
    bounds text[];
    made integer := 0;
BEGIN
    FOR month IN SELECT DISTINCT date_trunc('month', given::timestamp)::date AS first FROM unnest(months) AS given
                 ORDER BY first
    LOOP
        partition := format('messaging_messagearchive_%s', to_char(month, 'YYYY_MM'));
        CONTINUE WHEN to_regclass(format('public.%I', partition)) IS NOT NULL;
        PERFORM pg_advisory_xact_lock(hashtext('messaging_messagearchive partitions'));
        CONTINUE WHEN to_regclass(format('public.%I', partition)) IS NOT NULL;
        SELECT array_agg(
            rpad(lpad(to_hex((extract(epoch FROM edge) * 1000)::bigint), 12, '0'), 32, '0') ORDER BY edge)
        INTO bounds FROM unnest(ARRAY[month::timestamptz, (month + interval '1 month')::timestamptz]) AS edge;
        EXECUTE format(
            'CREATE TABLE public.%I (LIKE public.messaging_messagearchive INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
            partition);
        EXECUTE format('REVOKE ALL ON public.%I FROM huntaze_app, huntaze_system', partition);
        EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', partition);
        EXECUTE format(
            'ALTER TABLE public.messaging_messagearchive ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            partition, bounds[1], bounds[2]);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;
REVOKE ALL ON FUNCTION ensure_message_archive(date[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_message_archive(date[]) TO huntaze_system;
"""

_COLUMNS = """
id, created_at, tenant_id, account_id, fan_id, outbox_id, template_id, text, user_id, price, media, priority,
not_before, state, attempt, failures, slots, sent_at, finished_at, platform_id, reason, error
"""

# The policies of both tables hold, since it reads them as whoever asks.
_VIEW = f"""
CREATE VIEW messaging_messagerecord WITH (security_invoker = true) AS
SELECT {_COLUMNS}, false AS is_archived FROM messaging_message
UNION ALL
SELECT {_COLUMNS}, true FROM messaging_messagearchive;
REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON messaging_messagerecord FROM huntaze_app, huntaze_system;
"""  # noqa: S608  # only the constant above is inserted


class Migration(migrations.Migration):
    dependencies = [("messaging", "0003_storage")]
    operations = [
        migrations.RunSQL(_TABLE, reverse_sql="DROP TABLE messaging_messagearchive"),
        IsolateTenants("messaging_messagearchive"),
        migrations.RunSQL(_PARTITIONS, reverse_sql="DROP FUNCTION ensure_message_archive(date[])"),
        migrations.RunSQL(_VIEW, reverse_sql="DROP VIEW messaging_messagerecord"),
        migrations.CreateModel(
            name="MessageRecord",
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
                ("text", models.TextField(null=True)),
                ("user_id", models.UUIDField(help_text="Who enqueued it; null: an API key.", null=True)),
                ("price", models.DecimalField(decimal_places=2, max_digits=10, null=True)),
                ("media", models.JSONField()),
                (
                    "priority",
                    models.PositiveSmallIntegerField(choices=[(0, "high"), (1, "medium"), (2, "low")]),
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
                        max_length=16,
                    ),
                ),
                ("attempt", models.PositiveIntegerField(help_text="Grants so far.")),
                (
                    "failures",
                    models.PositiveSmallIntegerField(help_text="Attempts that count towards the cap."),
                ),
                (
                    "slots",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.DateTimeField(),
                        help_text="The limiter's stamp of every granted attempt.",
                        size=None,
                    ),
                ),
                ("sent_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "platform_id",
                    models.CharField(help_text="The platform's id of the message.", max_length=128),
                ),
                ("reason", models.CharField(max_length=64)),
                ("error", models.TextField()),
                (
                    "is_archived",
                    models.BooleanField(help_text="It can't be acted on any more.", verbose_name="archived"),
                ),
            ],
            options={
                "verbose_name": "message, live or archived",
                "verbose_name_plural": "messages, live and archived",
                "db_table": "messaging_messagerecord",
                "ordering": ["-id"],
                "managed": False,
            },
        ),
    ]
