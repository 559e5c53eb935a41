from django.db import migrations, models

# As before, in fewer statements: the usual settlement, of a hold that is held, locks and ends it in one.
_SETTLE = """
CREATE OR REPLACE FUNCTION costs_settle_hold(
    p_tenant uuid, p_hold uuid, p_input_tokens integer, p_cached_tokens integer, p_output_tokens integer,
    p_amount numeric, p_now timestamptz
) RETURNS costs_settled LANGUAGE plpgsql AS $$
DECLARE
    settled costs_settled;
    hold record;
    entered record;
    v_freed numeric := 0;
    v_sequence integer := 0;
    v_counter uuid;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('budgets of ' || p_tenant, 0));
    UPDATE costs_hold SET state = 'settled', ended_at = p_now
    WHERE id = p_hold AND tenant_id = p_tenant AND state = 'held'
    RETURNING * INTO hold;
    IF FOUND THEN
        settled.outcome := 'settled';
        settled.amount := coalesce(p_amount, hold.bound);
        v_freed := hold.bound;
    ELSE
        SELECT * INTO hold FROM costs_hold WHERE id = p_hold AND tenant_id = p_tenant FOR UPDATE;
        IF NOT FOUND THEN
            settled.outcome := 'missing';
            RETURN settled;
        END IF;
        IF hold.state = 'settled' AND p_amount IS NOT NULL THEN
            SELECT count(*) AS entries, bool_and(estimated) AS estimated, sum(amount) AS amount INTO entered
            FROM costs_ledgerentry
            WHERE occurred_at = hold.occurred_at AND generation_id = hold.generation_id AND attempt = hold.attempt
                AND tenant_id = p_tenant;
            IF entered.entries = 1 AND entered.estimated THEN
                settled.outcome := 'corrected';
                settled.amount := p_amount - entered.amount;
                v_sequence := 1;
            END IF;
        END IF;
        IF settled.outcome IS NULL THEN
            settled.outcome := 'unchanged';
            RETURN settled;
        END IF;
    END IF;

    -- In the order in which holds are taken, so that none waits for another in a circle.
    FOR v_counter IN SELECT unnest(hold.counters) ORDER BY 1 LOOP
        UPDATE costs_budgetcounter SET spent = spent + settled.amount, held = held - v_freed
        WHERE id = v_counter AND tenant_id = p_tenant;
    END LOOP;
    INSERT INTO costs_ledgerentry (tenant_id, occurred_at, generation_id, attempt, sequence, provider, model,
        task_kind, account_id, campaign_id, user_id, price_id, input_tokens, cached_tokens, output_tokens, amount,
        currency, estimated)
    VALUES (p_tenant, hold.occurred_at, hold.generation_id, hold.attempt, v_sequence, hold.provider, hold.model,
        hold.task_kind, hold.account_id, hold.campaign_id, hold.user_id, hold.price_id, coalesce(p_input_tokens, 0),
        coalesce(p_cached_tokens, 0), coalesce(p_output_tokens, 0), settled.amount, hold.currency,
        p_amount IS NULL)
    RETURNING id INTO settled.entry_id;
    RETURN settled;
END
$$
"""


class Migration(migrations.Migration):
    """Settling a hold in fewer statements, and no index that only the price's deletion would use."""

    dependencies = [("costs", "0003_hold_functions")]
    operations = [
        # The function before it does the same, so there is nothing to go back to.
        migrations.RunSQL(_SETTLE, reverse_sql=migrations.RunSQL.noop),
        migrations.AlterField(
            model_name="hold",
            name="price",
            field=models.ForeignKey(
                on_delete=models.deletion.PROTECT, related_name="+", to="costs.price", db_index=False
            ),
        ),
    ]
