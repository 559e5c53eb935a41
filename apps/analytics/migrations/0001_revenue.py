import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import apps.common.fields
import apps.common.ids
from apps.common.rls import IsolateTenants, ReadOnlyForTenants

# Messages sent, by day of the tenant's calendar, account and outbox: those that are in the archive, no others.
_SENT = """
CREATE TABLE analytics_sentday (
    tenant_id uuid NOT NULL,
    account_id uuid NOT NULL,
    outbox_id uuid,
    day date NOT NULL,
    number integer NOT NULL,
    CONSTRAINT sentday_once UNIQUE NULLS NOT DISTINCT (tenant_id, day, account_id, outbox_id)
) WITH (fillfactor = 90)
"""

# What is archived isn't changed any more, so it is counted once: by the statement that archives it. In order, so
# that two of them never wait for each other in a circle.
_OF_ARCHIVED = """
SELECT archived.tenant_id, archived.account_id, archived.outbox_id,
    (archived.sent_at AT TIME ZONE coalesce(calendar.zone, 'UTC'))::date AS day, count(*)
FROM {source} AS archived LEFT JOIN costs_calendar AS calendar ON calendar.tenant_id = archived.tenant_id
WHERE archived.state = 'sent'
GROUP BY archived.tenant_id, archived.account_id, archived.outbox_id, day
ORDER BY archived.tenant_id, day, archived.account_id, archived.outbox_id
"""
_INSERT = "INSERT INTO analytics_sentday AS counted (tenant_id, account_id, outbox_id, day, number)"
_COUNT = f"""
CREATE FUNCTION analytics_count_archived() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {_INSERT}
    {_OF_ARCHIVED.format(source="archived")}
    ON CONFLICT (tenant_id, day, account_id, outbox_id) DO UPDATE SET number = counted.number + excluded.number;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION analytics_count_archived() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION analytics_count_archived() TO huntaze_system;
CREATE TRIGGER messagearchive_counted AFTER INSERT ON messaging_messagearchive
REFERENCING NEW TABLE AS archived FOR EACH STATEMENT EXECUTE FUNCTION analytics_count_archived();
"""  # only the constants above are inserted
# Nothing is archived between the trigger and this, which are one transaction.
_COUNT_WHAT_IS_THERE = f"{_INSERT} {_OF_ARCHIVED.format(source='messaging_messagearchive')}"
_COUNT_NO_MORE = """
DROP TRIGGER messagearchive_counted ON messaging_messagearchive;
DROP FUNCTION analytics_count_archived();
"""


class Migration(migrations.Migration):
    """Revenue that is known, and how many messages were sent by day."""

    initial = True

    dependencies = [
        ("campaigns", "0001_initial"),
        ("costs", "0005_rollups"),
        ("messaging", "0005_replay"),
    ]

    operations = [
        migrations.CreateModel(
            name="RevenueEntry",
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
                    "external_id",
                    models.CharField(help_text="The teller's own; unique within the tenant.", max_length=128),
                ),
                (
                    "message_id",
                    models.UUIDField(blank=True, help_text="A live message or an archived one.", null=True),
                ),
                ("occurred_at", models.DateTimeField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("purchase", "Purchase"),
                            ("tip", "Tip"),
                            ("subscription", "Subscription"),
                            ("other", "Other"),
                            ("refund", "Refund"),
                        ],
                        default="purchase",
                        max_length=16,
                    ),
                ),
                (
                    "amount",
                    apps.common.fields.MoneyField(
                        decimal_places=10,
                        help_text="Below zero for a refund, and for nothing else.",
                        max_digits=20,
                    ),
                ),
                ("currency", apps.common.fields.CurrencyField(default="USD", max_length=3)),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="messaging.account",
                    ),
                ),
                (
                    "campaign",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="campaigns.campaign",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "revenue entries",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["tenant_id", "occurred_at"], name="revenueentry_by_time"),
                    models.Index(fields=["tenant_id", "id"], name="revenueentry_by_tenant"),
                    models.Index(
                        condition=models.Q(("campaign__isnull", False)),
                        fields=["campaign"],
                        name="revenueentry_by_campaign",
                    ),
                    models.Index(fields=["account"], name="revenueentry_by_account"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant_id", "external_id"), name="revenueentry_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("kind__in", ["purchase", "tip", "subscription", "other", "refund"])
                        ),
                        name="revenueentry_kind_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("currency", "USD")), name="revenueentry_in_ledger_currency"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("amount__lt", 0), ("kind", "refund")),
                            models.Q(models.Q(("kind", "refund"), _negated=True), ("amount__gt", 0)),
                            _connector="OR",
                        ),
                        name="revenueentry_sign_fits_its_kind",
                    ),
                ],
            },
        ),
        IsolateTenants("analytics_revenueentry"),
        migrations.RunSQL(_SENT, reverse_sql="DROP TABLE analytics_sentday"),
        IsolateTenants("analytics_sentday"),
        ReadOnlyForTenants("analytics_sentday"),
        migrations.RunSQL([_COUNT, _COUNT_WHAT_IS_THERE], reverse_sql=_COUNT_NO_MORE),
    ]
