from django.db import migrations, models

import apps.common.fields

# Entries of the ledger and holds point at a price, and what they cost was reckoned with it. The minute is for
# clocks that differ, and for a transaction that changes a price when it is about to begin. The owner may, for
# whoever has to put something right by hand. `clock_timestamp`: the transaction may have begun long ago.
_GUARD = """
CREATE FUNCTION costs_price_keeps_history() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF OLD.starts_at > clock_timestamp() + interval '1 minute'
        OR pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER')
    THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    IF TG_OP = 'UPDATE' AND to_jsonb(NEW) - 'note' = to_jsonb(OLD) - 'note' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'The price of % at % from % has begun, so it stays: enter a new one that starts later.',
        OLD.model, OLD.provider, OLD.starts_at
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'price_keeps_history', TABLE = 'costs_price';
END
$$;
REVOKE ALL ON FUNCTION costs_price_keeps_history() FROM PUBLIC;
CREATE TRIGGER price_keeps_history BEFORE UPDATE OR DELETE ON costs_price
    FOR EACH ROW EXECUTE FUNCTION costs_price_keeps_history();
"""
# Until now they were told from others by their rate of nothing.
_EMBEDDINGS = (
    "UPDATE costs_price SET kind = 'embedding' WHERE model LIKE '%embedding%' AND output_per_million = 0"
)


class Migration(migrations.Migration):
    """Prices of embeddings and of batches; and none changes any more once it has begun."""

    dependencies = [
        ("costs", "0008_narrow_rollups"),
    ]

    operations = [
        migrations.AddField(
            model_name="price",
            name="batch_cached_input_per_million",
            field=apps.common.fields.MoneyField(
                blank=True,
                decimal_places=10,
                help_text="Empty: cached tokens of a batch are billed at its input rate.",
                max_digits=20,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="batch_input_per_million",
            field=apps.common.fields.MoneyField(
                blank=True,
                decimal_places=10,
                help_text="Empty: the model isn't sold in batches.",
                max_digits=20,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="batch_output_per_million",
            field=apps.common.fields.MoneyField(blank=True, decimal_places=10, max_digits=20, null=True),
        ),
        migrations.AddField(
            model_name="price",
            name="kind",
            field=models.CharField(
                choices=[("text", "Text"), ("embedding", "Embedding")],
                db_default="text",
                default="text",
                help_text="An embedding has no output.",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="note",
            field=models.CharField(
                blank=True, db_default="", default="", help_text="Where the rates are from.", max_length=200
            ),
        ),
        migrations.RunSQL(_EMBEDDINGS, reverse_sql=migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["text", "embedding"])), name="price_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind", "embedding"), _negated=True),
                    models.Q(
                        ("output_per_million", 0),
                        models.Q(
                            ("batch_output_per_million__isnull", True),
                            ("batch_output_per_million", 0),
                            _connector="OR",
                        ),
                    ),
                    _connector="OR",
                ),
                name="price_embedding_has_no_output",
                violation_error_message="An embedding has no output: its output rates are 0.",
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("batch_cached_input_per_million__isnull", True),
                        ("batch_input_per_million__isnull", True),
                        ("batch_output_per_million__isnull", True),
                    ),
                    models.Q(
                        ("batch_input_per_million__gte", 0),
                        ("batch_input_per_million__isnull", False),
                        ("batch_output_per_million__gte", 0),
                        ("batch_output_per_million__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="price_batch_rates_together",
                violation_error_message="A batch has an input and an output rate, or no rate at all.",
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("batch_cached_input_per_million__isnull", True),
                    ("batch_cached_input_per_million__gte", 0),
                    _connector="OR",
                ),
                name="price_batch_cached_not_negative",
                violation_error_message="A rate is 0 or more.",
            ),
        ),
        migrations.AlterConstraint(
            model_name="price",
            name="price_unique",
            constraint=models.UniqueConstraint(
                fields=("provider", "model", "starts_at"),
                name="price_unique",
                violation_error_message="The model has a price from that instant: choose another one, or change that price while it hasn't begun.",
            ),
        ),
        migrations.AlterConstraint(
            model_name="price",
            name="price_not_negative",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("input_per_million__gte", 0),
                    ("output_per_million__gte", 0),
                    models.Q(
                        ("cached_input_per_million__isnull", True),
                        ("cached_input_per_million__gte", 0),
                        _connector="OR",
                    ),
                ),
                name="price_not_negative",
                violation_error_message="A rate is 0 or more.",
            ),
        ),
        migrations.RunSQL(
            _GUARD,
            reverse_sql=[
                "DROP TRIGGER price_keeps_history ON costs_price",
                "DROP FUNCTION costs_price_keeps_history()",
            ],
        ),
    ]
