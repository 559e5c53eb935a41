from django.db import migrations

# As `costs_ledger_tail`, of which it leaves out the periods: to find those of an entry takes most of the time that is
# spent on it, and of a campaign everything is wanted.
_TAIL = """
CREATE FUNCTION costs_ledger_tail_of_campaigns(p_campaigns uuid[]) RETURNS TABLE (
    provider varchar, model varchar, task_kind varchar, account_id uuid, campaign_id uuid, user_id uuid,
    attempts integer, estimated integer, input_tokens bigint, cached_tokens bigint, output_tokens bigint, amount numeric
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    mark record;
BEGIN
    SELECT watermark.ledger_generation, watermark.reached INTO STRICT mark FROM costs_rollupwatermark AS watermark;
    RETURN QUERY EXECUTE
        'SELECT entry.provider, entry.model, entry.task_kind, entry.account_id, entry.campaign_id, entry.user_id,'
        ' (entry.sequence = 0)::integer, entry.estimated::integer - (entry.sequence = 1)::integer,'
        ' entry.input_tokens::bigint, entry.cached_tokens::bigint, entry.output_tokens::bigint, entry.amount'
        ' FROM costs_ledgerentry AS entry'
        ' WHERE entry.ledger_generation = ' || mark.ledger_generation || ' AND entry.txid >= $1'
        ' AND entry.campaign_id = ANY ($2)'
    USING mark.reached, p_campaigns;
END
$$
"""
_NAME = "costs_ledger_tail_of_campaigns(uuid[])"


class Migration(migrations.Migration):
    """What campaigns have cost of late, without looking closer at what others have."""

    dependencies = [("costs", "0018_amounts_raised")]
    operations = [
        migrations.RunSQL(
            [
                _TAIL,
                f"REVOKE ALL ON FUNCTION {_NAME} FROM PUBLIC",
                f"GRANT EXECUTE ON FUNCTION {_NAME} TO huntaze_app, huntaze_system",
            ],
            reverse_sql=f"DROP FUNCTION {_NAME}",
        )
    ]
