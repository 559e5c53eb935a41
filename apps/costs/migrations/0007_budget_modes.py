import django.contrib.postgres.fields
from django.db import migrations, models

import apps.common.fields
import apps.costs.models
import apps.costs.models.budgets

# While old code serves, it reads and writes `hard_stop`, and new code `mode`: whichever is written, the other follows.
# A new row without `hard_stop` is new code's; shadow mode is, to old code, a budget that only alerts. Once nobody runs
# the old code, both the trigger and the column can go.
_IN_STEP = """
CREATE FUNCTION costs_budget_modes_in_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.hard_stop IS NOT NULL
        OR TG_OP = 'UPDATE' AND NEW.hard_stop <> OLD.hard_stop AND NEW.mode = OLD.mode
    THEN
        NEW.mode := CASE WHEN NEW.hard_stop THEN 'stop' ELSE 'watch' END;
    ELSE
        NEW.hard_stop := NEW.mode = 'stop';
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION costs_budget_modes_in_step() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION costs_budget_modes_in_step() TO huntaze_app, huntaze_system;
UPDATE costs_budget SET mode = 'watch' WHERE NOT hard_stop;
CREATE TRIGGER modes_in_step BEFORE INSERT OR UPDATE ON costs_budget
FOR EACH ROW EXECUTE FUNCTION costs_budget_modes_in_step();
"""
_OUT_OF_STEP = """
DROP TRIGGER modes_in_step ON costs_budget;
DROP FUNCTION costs_budget_modes_in_step();
"""

# As before, but for the modes. A budget in shadow mode that a call doesn't fit is noted on the way and counted once
# the call's hold is there: so neither a call that another budget refuses is counted, nor one that is sent again.
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
        UPDATE costs_budgetcounter AS counter SET held = counter.held + taken.bound
        WHERE counter.id = ceiling.counter
            AND (ceiling.mode <> 'stop' OR counter.spent + counter.held + taken.bound <= ceiling."limit")
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
        IF ceiling.mode = 'stop' THEN
            taken.budget_left := least(taken.budget_left, CASE WHEN ceiling."limit" > 0
                THEN (ceiling."limit" - v_spent - v_held) / ceiling."limit" ELSE 0 END);
        ELSIF ceiling.mode = 'shadow' AND v_spent + v_held > ceiling."limit" THEN
            v_over := v_over || ceiling.counter;
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
# The one of 0003_hold_functions.
_TAKE_BEFORE = """
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
$$
"""


class Migration(migrations.Migration):
    """Budgets that stop, that only say what they would have stopped, and that only watch."""

    dependencies = [("costs", "0006_lighter_ledger")]
    operations = [
        migrations.AddField(
            model_name="budget",
            name="mode",
            field=models.CharField(
                choices=[("stop", "Stop"), ("shadow", "Shadow"), ("watch", "Watch")],
                db_default="stop",
                default="stop",
                help_text="What becomes of a call that would exceed the limit. Stop: it is refused. Shadow: it is made, and counted as one that would have been refused. Watch: it is made.",
                max_length=8,
            ),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("mode__in", ["stop", "shadow", "watch"])), name="budget_mode_known"
            ),
        ),
        migrations.RunSQL(
            _IN_STEP,
            reverse_sql=_OUT_OF_STEP,
            state_operations=[migrations.RemoveField(model_name="budget", name="hard_stop")],
        ),
        migrations.AddField(
            model_name="budgetcounter",
            name="shadow_calls",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                help_text="Calls that were made in shadow mode though they didn't fit.",
            ),
        ),
        migrations.AddField(
            model_name="budgetcounter",
            name="shadow_amount",
            field=apps.common.fields.MoneyField(
                db_default=0,
                decimal_places=10,
                default=0,
                help_text="What they could have cost at most.",
                max_digits=20,
            ),
        ),
        migrations.RunSQL(_TAKE, reverse_sql=_TAKE_BEFORE),
        # Words and checks of forms; the database's column stays as it is.
        migrations.AlterField(
            model_name="budget",
            name="thresholds",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.PositiveSmallIntegerField(),
                blank=True,
                default=apps.costs.models.default_thresholds,
                help_text="Percentages of the limit at which to alert: whole ones from 1 to 1000, 20 at most.",
                size=None,
                validators=[apps.costs.models.budgets.validate_thresholds],
            ),
        ),
        migrations.AlterField(
            model_name="budget",
            name="is_active",
            field=models.BooleanField(
                default=True,
                help_text="Switched off, it counts nothing; switched on again, it counts what it missed.",
            ),
        ),
    ]
