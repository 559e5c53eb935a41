from django.db import migrations, models
from django.db.models import Q

# Its row is ended, or else locked, before the hold and its counters, as where an attempt begins, so that a claim
# that was lost and the one that took over don't wait for each other. The money is settled whoever owns the claim.
# A generation whose only attempt is settled here cost what that did; others are added up from the ledger.
# `outcome`: ended, which a statement that is sent again hears as well; or claim_lost. `settled` and what follows it
# are those of costs_settle_hold; NULL without a hold, or released with a free one.
_END = """
CREATE OR REPLACE FUNCTION ai_end_generation(
    p_tenant uuid, p_generation uuid, p_lease_was timestamptz,
    p_hold uuid, p_free boolean, p_input_tokens integer, p_cached_tokens integer, p_output_tokens integer,
    p_amount numeric,
    p_state text, p_source text, p_deployment uuid, p_model text, p_text text, p_data jsonb, p_error_code text,
    p_error text, p_explain jsonb, p_attempts integer, p_latency interval, p_age interval, p_joined uuid,
    p_now timestamptz
) RETURNS ai_ended LANGUAGE plpgsql AS $$
DECLARE
    ended ai_ended;
    generation record;
    v_is_ours boolean;
BEGIN
    UPDATE ai_generation SET state = p_state, lease_expires_at = NULL, finished_at = p_now, source = p_source,
        deployment_id = p_deployment, model = p_model, text = p_text, data = p_data, error_code = p_error_code,
        error = p_error, explain = p_explain, attempts = p_attempts, latency = p_latency, age = p_age,
        joined_id = p_joined, input_tokens = coalesce(p_input_tokens, 0),
        cached_tokens = coalesce(p_cached_tokens, 0), output_tokens = coalesce(p_output_tokens, 0),
        cost = coalesce(p_amount, 0)
    WHERE id = p_generation AND tenant_id = p_tenant AND state = 'running' AND lease_expires_at = p_lease_was
    RETURNING state, finished_at, created_at, input_tokens, cached_tokens, output_tokens, cost INTO generation;
    v_is_ours := FOUND;
    IF NOT v_is_ours THEN
        SELECT state, finished_at, created_at, input_tokens, cached_tokens, output_tokens, cost INTO generation
        FROM ai_generation WHERE id = p_generation AND tenant_id = p_tenant FOR UPDATE;
    END IF;

    IF p_free THEN
        IF costs_release_hold(p_tenant, p_hold, p_now) THEN
            ended.settled := 'released';
        END IF;
    ELSIF p_hold IS NOT NULL THEN
        SELECT * INTO ended.settled, ended.entry_id, ended.amount
        FROM costs_settle_hold(p_tenant, p_hold, p_input_tokens, p_cached_tokens, p_output_tokens, p_amount, p_now);
    END IF;

    IF NOT v_is_ours AND (generation.state, generation.finished_at) IS DISTINCT FROM (p_state, p_now) THEN
        ended.outcome := 'claim_lost';
        RETURN ended;
    END IF;
    IF v_is_ours AND (p_attempts <> 1 OR p_amount IS NULL OR ended.settled IS DISTINCT FROM 'settled') THEN
        UPDATE ai_generation SET (input_tokens, cached_tokens, output_tokens, cost) = (
            SELECT coalesce(sum(entry.input_tokens), 0), coalesce(sum(entry.cached_tokens), 0),
                coalesce(sum(entry.output_tokens), 0), coalesce(sum(entry.amount), 0)
            FROM costs_ledgerentry AS entry
            WHERE entry.occurred_at = generation.created_at AND entry.generation_id = p_generation
                AND entry.tenant_id = p_tenant)
        WHERE id = p_generation
        RETURNING state, finished_at, created_at, input_tokens, cached_tokens, output_tokens, cost INTO generation;
    END IF;
    ended.outcome := 'ended';
    ended.input_tokens := generation.input_tokens;
    ended.cached_tokens := generation.cached_tokens;
    ended.output_tokens := generation.output_tokens;
    ended.cost := generation.cost;
    RETURN ended;
END
$$
"""


class Migration(migrations.Migration):
    """Ending a generation in fewer statements, and no index on it that nearly every row pays for and few use."""

    dependencies = [("ai", "0010_generation_lookups"), ("costs", "0004_lighter_settlement")]
    operations = [
        # The function before it does the same, so there is nothing to go back to.
        migrations.RunSQL(_END, reverse_sql=migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="generation",
            name="deployment",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=models.deletion.PROTECT,
                related_name="+",
                to="ai.deployment",
            ),
        ),
        migrations.AlterField(
            model_name="generation", name="campaign_id", field=models.UUIDField(blank=True, null=True)
        ),
        migrations.RemoveIndex(model_name="generation", name="generation_by_state"),
        migrations.AddIndex(
            model_name="generation",
            index=models.Index(
                fields=["campaign_id", "-id"],
                condition=Q(campaign_id__isnull=False),
                name="generation_by_campaign",
            ),
        ),
        migrations.AddIndex(
            model_name="generation",
            index=models.Index(fields=["-id"], condition=Q(state="failed"), name="generation_failed"),
        ),
    ]
