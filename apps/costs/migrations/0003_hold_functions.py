from django.db import migrations

# The twins of apps/costs/pricing.py `bound` and apps/costs/periods.py `period_start`; tests compare them. Numeric
# products are exact and quotients are not, so nothing is divided.
_TWINS = """
CREATE FUNCTION costs_bound(
    p_body_bytes bigint, p_max_tokens bigint, p_input numeric, p_cached numeric, p_output numeric
) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ceil((p_body_bytes * greatest(p_input, p_cached) + p_max_tokens * p_output) * 10000) * 0.0000000001;

CREATE FUNCTION costs_period_start(p_period text, p_at timestamptz, p_time_zone text)
RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date_trunc(p_period, p_at AT TIME ZONE p_time_zone)::date;
"""

# What taking a hold came to. `outcome`: taken; no_price; no_counter (a budget has none for the period: open it and
# ask again); exhausted, busy (the budget and its counter say why); attempt_taken (by another hold).
_TYPES = """
CREATE TYPE costs_taken AS (
    outcome text,
    bound numeric,
    price_id bigint,
    input_per_million numeric,
    cached_input_per_million numeric,
    output_per_million numeric,
    currency text,
    counters uuid[],
    budget_left numeric,
    budget_id uuid,
    budget_limit numeric,
    budget_currency text,
    budget_period text,
    budget_scope text,
    spent numeric,
    held numeric
);
CREATE TYPE costs_settled AS (outcome text, entry_id bigint, amount numeric);
"""

# Every statement of a function sees what was committed before it began, so what follows the lock sees all that a
# holder of the exclusive lock has done. A counter is moved by one conditional UPDATE, always in the order of the
# counters' ids; on a refusal those that were moved are moved back before anybody else can see them.
_TAKE = """
CREATE FUNCTION costs_take_hold(
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
            budget.hard_stop
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
        UPDATE costs_budgetcounter AS counter SET held = counter.held + taken.bound
        WHERE counter.id = ceiling.counter
            AND (NOT ceiling.hard_stop OR counter.spent + counter.held + taken.bound <= ceiling."limit")
        RETURNING counter.spent, counter.held INTO v_spent, v_held;
        IF NOT FOUND THEN
            SELECT counter.spent, counter.held INTO taken.spent, taken.held
            FROM costs_budgetcounter AS counter WHERE counter.id = ceiling.counter;
            taken.outcome :=
                CASE WHEN taken.spent + taken.bound > ceiling."limit" THEN 'exhausted' ELSE 'busy' END;
            taken.budget_id := ceiling.id;
            taken.budget_limit := ceiling."limit";
            taken.budget_currency := ceiling.currency;
            taken.budget_period := ceiling.period;
            taken.budget_scope := ceiling.scope;
            EXIT;
        END IF;
        taken.counters := taken.counters || ceiling.counter;
        IF ceiling.hard_stop THEN
            taken.budget_left := least(taken.budget_left, CASE WHEN ceiling."limit" > 0
                THEN (ceiling."limit" - v_spent - v_held) / ceiling."limit" ELSE 0 END);
        END IF;
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
$$;
"""

# `p_amount` is what the usage costs (apps/costs/pricing.py); NULL, like the tokens, where the usage is unknown.
# `outcome`: settled; corrected (a later one that knows the usage, after an estimate); unchanged; missing.
_SETTLE = """
CREATE FUNCTION costs_settle_hold(
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
    SELECT * INTO hold FROM costs_hold WHERE id = p_hold AND tenant_id = p_tenant FOR UPDATE;
    IF NOT FOUND THEN
        settled.outcome := 'missing';
        RETURN settled;
    END IF;

    IF hold.state = 'held' THEN
        settled.outcome := 'settled';
        settled.amount := coalesce(p_amount, hold.bound);
        v_freed := hold.bound;
        UPDATE costs_hold SET state = 'settled', ended_at = p_now WHERE id = p_hold;
    ELSIF hold.state = 'settled' AND p_amount IS NOT NULL THEN
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
$$;

CREATE FUNCTION costs_release_hold(p_tenant uuid, p_hold uuid, p_now timestamptz)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    hold record;
    v_counter uuid;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('budgets of ' || p_tenant, 0));
    UPDATE costs_hold SET state = 'released', ended_at = p_now
    WHERE id = p_hold AND tenant_id = p_tenant AND state = 'held'
    RETURNING bound, counters INTO hold;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    FOR v_counter IN SELECT unnest(hold.counters) ORDER BY 1 LOOP
        UPDATE costs_budgetcounter SET held = held - hold.bound WHERE id = v_counter AND tenant_id = p_tenant;
    END LOOP;
    RETURN true;
END
$$;
"""

_FUNCTIONS = [
    "costs_bound(bigint, bigint, numeric, numeric, numeric)",
    "costs_period_start(text, timestamptz, text)",
    "costs_take_hold(uuid, uuid, uuid, integer, text, text, text, uuid, uuid, uuid, bigint, bigint, timestamptz,"
    " timestamptz, timestamptz)",
    "costs_settle_hold(uuid, uuid, integer, integer, integer, numeric, timestamptz)",
    "costs_release_hold(uuid, uuid, timestamptz)",
]
_RIGHTS = [
    statement
    for function in _FUNCTIONS
    for statement in (
        f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {function} TO huntaze_app, huntaze_system",
    )
]


class Migration(migrations.Migration):
    """Taking and ending a hold in one statement each; they run with the caller's rights and policies."""

    dependencies = [("costs", "0002_ledger"), ("tenants", "0001_initial")]
    operations = [
        migrations.RunSQL(
            [_TWINS, _TYPES, _TAKE, _SETTLE, *_RIGHTS],
            reverse_sql=[
                *(f"DROP FUNCTION {function}" for function in reversed(_FUNCTIONS)),
                "DROP TYPE costs_settled",
                "DROP TYPE costs_taken",
            ],
        )
    ]
