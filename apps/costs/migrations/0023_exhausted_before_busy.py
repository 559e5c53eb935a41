from django.db import migrations

# As before, but that after a budget in which only holds are in the way, the others are looked at, unlocked: where
# spend is in the way, waiting won't help, whichever budget was made first.
_TAKE = """
CREATE OR REPLACE FUNCTION costs_take_hold(
    p_tenant uuid, p_hold uuid, p_generation uuid, p_attempt integer, p_provider text, p_model text,
    p_task_kind text, p_account uuid, p_campaign uuid, p_user uuid, p_body_bytes bigint, p_max_tokens bigint,
    p_occurred_at timestamptz, p_expires_at timestamptz, p_now timestamptz
) RETURNS costs_taken LANGUAGE plpgsql AS $$
DECLARE
    taken costs_taken;
    found_again costs_taken;
    ceiling record;
    v_spent numeric;
    v_held numeric;
    v_over uuid[];
    v_exhausted boolean;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('budgets of ' || p_tenant, 0));

    SELECT price.id, price.input_per_million, price.cached_input_per_million, price.output_per_million, price.currency
    INTO taken.price_id, taken.input_per_million, taken.cached_input_per_million, taken.output_per_million,
        taken.currency
    FROM costs_price AS price
    WHERE price.provider = p_provider AND price.model = p_model AND price.starts_at <= p_now
    ORDER BY price.starts_at DESC LIMIT 1;
    IF NOT FOUND THEN
        taken.outcome := 'no_price';
        RETURN taken;
    END IF;
    taken.bound := costs_bound(p_body_bytes, p_max_tokens, taken.input_per_million, taken.cached_input_per_million,
        taken.output_per_million);
    taken.counters := '{}';

    -- A budget without a counter comes first: nothing has been moved by then.
    FOR ceiling IN
        SELECT counter.id AS counter, budget.id, budget."limit", budget.currency, budget.period, budget.scope,
            budget.mode
        FROM tenants_tenant AS tenant
        JOIN costs_budget AS budget ON budget.tenant_id = tenant.id
        LEFT JOIN costs_budgetcounter AS counter ON counter.budget_id = budget.id
            AND counter.period_start = costs_period_start(budget.period, p_occurred_at, tenant.time_zone)
        WHERE tenant.id = p_tenant AND budget.is_active
            AND (budget.scope = 'tenant'
                OR budget.scope = 'provider' AND budget.provider = p_provider
                OR budget.scope = 'account' AND budget.scope_id = p_account
                OR budget.scope = 'campaign' AND budget.scope_id = p_campaign
                OR budget.scope = 'user' AND budget.scope_id = p_user)
        ORDER BY counter.id NULLS FIRST
    LOOP
        IF ceiling.counter IS NULL THEN
            taken.outcome := 'no_counter';
            RETURN taken;
        END IF;
        IF taken.outcome IS NULL THEN
            UPDATE costs_budgetcounter AS counter SET held = counter.held + taken.bound
            WHERE counter.id = ceiling.counter
                AND (ceiling.mode <> 'stop' OR counter.spent + counter.held + taken.bound <= ceiling."limit")
            RETURNING counter.spent, counter.held INTO v_spent, v_held;
            IF FOUND THEN
                taken.counters := taken.counters || ceiling.counter;
                IF ceiling.mode = 'stop' THEN
                    taken.budget_left := least(taken.budget_left, CASE WHEN ceiling."limit" > 0
                        THEN (ceiling."limit" - v_spent - v_held) / ceiling."limit" ELSE 0 END);
                ELSIF ceiling.mode = 'shadow' AND v_spent + v_held > ceiling."limit" THEN
                    v_over := v_over || ceiling.counter;
                END IF;
                CONTINUE;
            END IF;
        ELSIF ceiling.mode <> 'stop' THEN
            CONTINUE;
        END IF;
        SELECT counter.spent, counter.held INTO v_spent, v_held
        FROM costs_budgetcounter AS counter WHERE counter.id = ceiling.counter;
        v_exhausted := v_spent + taken.bound > ceiling."limit";
        IF v_exhausted OR taken.outcome IS NULL THEN
            taken.outcome := CASE WHEN v_exhausted THEN 'exhausted' ELSE 'busy' END;
            taken.budget_id := ceiling.id;
            taken.budget_limit := ceiling."limit";
            taken.budget_currency := ceiling.currency;
            taken.budget_period := ceiling.period;
            taken.budget_scope := ceiling.scope;
            taken.spent := v_spent;
            taken.held := v_held;
        END IF;
        EXIT WHEN v_exhausted;
    END LOOP;

    IF taken.outcome IS NULL THEN
        INSERT INTO costs_hold (id, tenant_id, generation_id, attempt, provider, model, task_kind, account_id,
            campaign_id, user_id, price_id, bound, currency, occurred_at, expires_at, state, counters)
        VALUES (p_hold, p_tenant, p_generation, p_attempt, p_provider, p_model, p_task_kind, p_account,
            p_campaign, p_user, taken.price_id, taken.bound, taken.currency, p_occurred_at, p_expires_at, 'held',
            taken.counters)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            taken.outcome := 'taken';
            IF v_over IS NOT NULL THEN
                UPDATE costs_budgetcounter AS counter
                SET shadow_calls = counter.shadow_calls + 1, shadow_amount = counter.shadow_amount + taken.bound
                WHERE counter.id = ANY (v_over);
            END IF;
            RETURN taken;
        END IF;
        taken.outcome := 'attempt_taken';
    END IF;

    UPDATE costs_budgetcounter AS counter SET held = counter.held - taken.bound
    WHERE counter.id = ANY (taken.counters);
    -- The very hold may be there: its statement was sent again because the answer to it was lost.
    SELECT 'taken', hold.bound, price.id, price.input_per_million, price.cached_input_per_million,
        price.output_per_million, hold.currency, hold.counters
    INTO found_again
    FROM costs_hold AS hold JOIN costs_price AS price ON price.id = hold.price_id
    WHERE hold.id = p_hold AND hold.tenant_id = p_tenant AND hold.generation_id = p_generation
        AND hold.attempt = p_attempt AND hold.state = 'held';
    IF FOUND THEN
        RETURN found_again;
    END IF;
    RETURN taken;
END
$$
"""


class Migration(migrations.Migration):
    """A call that one budget makes wait and another will never let pass is told of the latter."""

    dependencies = [("costs", "0022_days_from_indexes")]
    operations = [
        # The function before it differs in nothing else, so there is nothing to go back to.
        migrations.RunSQL(_TAKE, reverse_sql=migrations.RunSQL.noop),
    ]
