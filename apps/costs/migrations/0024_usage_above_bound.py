from django.db import migrations, models

# As before, but that a hold says when its attempt turned out to cost more than was held: nobody has to look for
# such ones in the ledger.
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
    v_counters uuid[];
    v_raised_at timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('budgets of ' || p_tenant, 0));
    UPDATE costs_hold SET state = 'settled', ended_at = p_now,
        above_bound_at = CASE WHEN p_amount > bound THEN p_now END
    WHERE id = p_hold AND tenant_id = p_tenant AND state = 'held'
    RETURNING * INTO hold;
    IF FOUND THEN
        settled.outcome := 'settled';
        settled.amount := coalesce(p_amount, hold.bound);
        v_freed := hold.bound;
        v_counters := hold.counters;
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
                IF settled.amount > 0 THEN
                    v_raised_at := p_now;
                END IF;
                IF p_amount > hold.bound THEN
                    UPDATE costs_hold SET above_bound_at = p_now WHERE id = p_hold;
                END IF;
                SELECT array_agg(counter.id) INTO v_counters
                FROM tenants_tenant AS tenant
                JOIN costs_budget AS budget ON budget.tenant_id = tenant.id
                JOIN costs_budgetcounter AS counter ON counter.budget_id = budget.id
                WHERE tenant.id = p_tenant AND (counter.id = ANY (hold.counters)
                    OR budget.is_active
                        AND counter.period_start
                            = costs_period_start(budget.period, hold.occurred_at, tenant.time_zone)
                        AND (budget.scope = 'tenant'
                            OR budget.scope = 'provider' AND budget.provider = hold.provider
                            OR budget.scope = 'account' AND budget.scope_id = hold.account_id
                            OR budget.scope = 'campaign' AND budget.scope_id = hold.campaign_id
                            OR budget.scope = 'user' AND budget.scope_id = hold.user_id));
            END IF;
        END IF;
        IF settled.outcome IS NULL THEN
            settled.outcome := 'unchanged';
            RETURN settled;
        END IF;
    END IF;

    -- In the order in which holds are taken, so that none waits for another in a circle.
    FOR v_counter IN SELECT unnest(v_counters) ORDER BY 1 LOOP
        UPDATE costs_budgetcounter SET spent = spent + settled.amount, held = held - v_freed,
            raised_at = coalesce(v_raised_at, raised_at),
            raised_by = CASE WHEN v_sequence = 0 THEN raised_by
                WHEN raised_at >= p_now - interval '1 day' THEN raised_by + settled.amount
                ELSE greatest(settled.amount, 0) END
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
# The one of 0018_amounts_raised: without the column, the function must not name it.
_SETTLE_BEFORE = _SETTLE.replace(
    ",\n        above_bound_at = CASE WHEN p_amount > bound THEN p_now END", ""
).replace(
    """                IF p_amount > hold.bound THEN
                    UPDATE costs_hold SET above_bound_at = p_now WHERE id = p_hold;
                END IF;
""",
    "",
)


class Migration(migrations.Migration):
    """Holds remember when their attempts turned out to cost more: alerts look for it however late that was."""

    dependencies = [("costs", "0023_exhausted_before_busy")]
    operations = [
        migrations.AddField(
            model_name="hold",
            name="above_bound_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="When it turned out to cost more than was held.",
                null=True,
            ),
        ),
        migrations.RunSQL(_SETTLE, reverse_sql=_SETTLE_BEFORE),
    ]
