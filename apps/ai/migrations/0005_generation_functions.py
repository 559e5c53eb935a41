from django.db import migrations, models

# A new question (it has a prompt) gets its row, an old one a longer lease: the lease's end only grows and names the
# claim. A statement that is sent again finds the lease that it has set itself. `outcome` is that of costs_take_hold,
# or claim_lost: somebody else works on the generation, or it is over. What the hold is for is read from the row.
_BEGIN = """
CREATE FUNCTION ai_begin_attempt(
    p_tenant uuid, p_generation uuid,
    p_created_at timestamptz, p_task_kind text, p_account uuid, p_campaign uuid, p_user uuid,
    p_prompt uuid, p_variables jsonb, p_generation_max_tokens integer, p_priority integer,
    p_lease_was timestamptz, p_lease_until timestamptz,
    p_hold uuid, p_attempt integer, p_provider text, p_model text, p_body_bytes bigint, p_max_tokens bigint,
    p_expires_at timestamptz, p_now timestamptz
) RETURNS costs_taken LANGUAGE plpgsql AS $$
DECLARE
    begun costs_taken;
    generation record;
    v_lease_was timestamptz := p_lease_was;
    v_is_new boolean := false;
BEGIN
    IF p_prompt IS NOT NULL THEN
        INSERT INTO ai_generation (id, created_at, tenant_id, task_kind, account_id, campaign_id, user_id, prompt_id,
            variables, max_tokens, priority, state, lease_expires_at, started_at, attempts, explain, source, model, text,
            input_tokens, cached_tokens, output_tokens, cost, currency, error_code, error)
        VALUES (p_generation, p_created_at, p_tenant, p_task_kind, p_account, p_campaign, p_user, p_prompt,
            p_variables, p_generation_max_tokens, p_priority, 'running', p_lease_until, p_now, p_attempt, '[]', '', '', '',
            0, 0, 0, 0, 'USD', '', '')
        ON CONFLICT (id) DO NOTHING
        RETURNING task_kind, account_id, campaign_id, user_id, created_at INTO generation;
        v_is_new := FOUND;
        v_lease_was := p_lease_until;
    END IF;
    IF NOT v_is_new THEN
        UPDATE ai_generation SET lease_expires_at = greatest(v_lease_was, p_lease_until), attempts = p_attempt
        WHERE id = p_generation AND tenant_id = p_tenant AND state = 'running'
            AND lease_expires_at IN (v_lease_was, greatest(v_lease_was, p_lease_until))
        RETURNING task_kind, account_id, campaign_id, user_id, created_at INTO generation;
        IF NOT FOUND THEN
            begun.outcome := 'claim_lost';
            RETURN begun;
        END IF;
    END IF;
    RETURN costs_take_hold(p_tenant, p_hold, p_generation, p_attempt, p_provider, p_model, generation.task_kind,
        generation.account_id, generation.campaign_id, generation.user_id, p_body_bytes, p_max_tokens,
        generation.created_at, p_expires_at, p_now);
END
$$;
"""

# The generation's row is locked before the hold and its counters, as where an attempt begins, so that a claim that was
# lost and the one that took over don't wait for each other. The money is settled whoever owns the claim. `outcome`:
# ended, which a statement that is sent again hears as well; or claim_lost. `settled` and what follows it are those of
# costs_settle_hold; NULL without a hold, or released with a free one. Left to itself, PostgreSQL would plan the sums anew
# each time, since it can then leave out the other months' partitions; executing the general plan leaves them out as well.
_END = """
CREATE TYPE ai_ended AS (
    outcome text, input_tokens bigint, cached_tokens bigint, output_tokens bigint, cost numeric, settled text,
    entry_id bigint, amount numeric
);

CREATE FUNCTION ai_end_generation(
    p_tenant uuid, p_generation uuid, p_lease_was timestamptz,
    p_hold uuid, p_free boolean, p_input_tokens integer, p_cached_tokens integer, p_output_tokens integer,
    p_amount numeric,
    p_state text, p_source text, p_deployment uuid, p_model text, p_text text, p_data jsonb, p_error_code text,
    p_error text, p_explain jsonb, p_attempts integer, p_latency interval, p_age interval, p_joined uuid,
    p_now timestamptz
) RETURNS ai_ended LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    ended ai_ended;
    generation record;
BEGIN
    SELECT state, lease_expires_at, finished_at, created_at, input_tokens, cached_tokens, output_tokens, cost
    INTO generation
    FROM ai_generation WHERE id = p_generation AND tenant_id = p_tenant FOR UPDATE;

    IF p_free THEN
        IF costs_release_hold(p_tenant, p_hold, p_now) THEN
            ended.settled := 'released';
        END IF;
    ELSIF p_hold IS NOT NULL THEN
        SELECT * INTO ended.settled, ended.entry_id, ended.amount
        FROM costs_settle_hold(p_tenant, p_hold, p_input_tokens, p_cached_tokens, p_output_tokens, p_amount, p_now);
    END IF;

    IF generation.state = 'running' AND generation.lease_expires_at = p_lease_was THEN
        UPDATE ai_generation SET state = p_state, lease_expires_at = NULL, finished_at = p_now, source = p_source,
            deployment_id = p_deployment, model = p_model, text = p_text, data = p_data, error_code = p_error_code,
            error = p_error, explain = p_explain, attempts = p_attempts, latency = p_latency, age = p_age,
            joined_id = p_joined,
            (input_tokens, cached_tokens, output_tokens, cost) = (
                SELECT coalesce(sum(entry.input_tokens), 0), coalesce(sum(entry.cached_tokens), 0),
                    coalesce(sum(entry.output_tokens), 0), coalesce(sum(entry.amount), 0)
                FROM costs_ledgerentry AS entry
                WHERE entry.occurred_at = generation.created_at AND entry.generation_id = p_generation
                    AND entry.tenant_id = p_tenant)
        WHERE id = p_generation
        RETURNING 'ended', input_tokens, cached_tokens, output_tokens, cost
        INTO ended.outcome, ended.input_tokens, ended.cached_tokens, ended.output_tokens, ended.cost;
    ELSIF generation.state = p_state AND generation.finished_at = p_now THEN
        ended.outcome := 'ended';
        ended.input_tokens := generation.input_tokens;
        ended.cached_tokens := generation.cached_tokens;
        ended.output_tokens := generation.output_tokens;
        ended.cost := generation.cost;
    ELSE
        ended.outcome := 'claim_lost';
    END IF;
    RETURN ended;
END
$$;
"""

# Whether it is recorded, by this statement or by the same one before.
_RECORD = """
CREATE FUNCTION ai_record_generation(
    p_tenant uuid, p_generation uuid,
    p_created_at timestamptz, p_task_kind text, p_account uuid, p_campaign uuid, p_user uuid,
    p_prompt uuid, p_variables jsonb, p_generation_max_tokens integer, p_priority integer,
    p_state text, p_source text, p_deployment uuid, p_model text, p_text text, p_data jsonb, p_error_code text,
    p_error text, p_explain jsonb, p_attempts integer, p_latency interval, p_age interval, p_joined uuid,
    p_now timestamptz
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ai_generation (id, created_at, tenant_id, task_kind, account_id, campaign_id, user_id, prompt_id,
        variables, max_tokens, priority, state, started_at, finished_at, attempts, explain, source, deployment_id, model,
        text, data, input_tokens, cached_tokens, output_tokens, cost, currency, latency, error_code, error, age,
        joined_id)
    VALUES (p_generation, p_created_at, p_tenant, p_task_kind, p_account, p_campaign, p_user, p_prompt,
        p_variables, p_generation_max_tokens, p_priority, p_state, p_created_at, p_now, p_attempts, p_explain, p_source,
        p_deployment, p_model, p_text, p_data, 0, 0, 0, 0, 'USD', p_latency, p_error_code, p_error, p_age, p_joined)
    ON CONFLICT (id) DO NOTHING;
    RETURN FOUND OR EXISTS (
        SELECT FROM ai_generation
        WHERE id = p_generation AND tenant_id = p_tenant AND state = p_state AND finished_at = p_now);
END
$$;
"""

_QUESTION = "timestamptz, text, uuid, uuid, uuid, uuid, jsonb, integer, integer"
_ENDING = (
    "text, text, uuid, text, text, jsonb, text, text, jsonb, integer, interval, interval, uuid, timestamptz"
)
_FUNCTIONS = [
    f"ai_begin_attempt(uuid, uuid, {_QUESTION}, timestamptz, timestamptz, uuid, integer, text, text, bigint, bigint,"
    " timestamptz, timestamptz)",
    f"ai_end_generation(uuid, uuid, timestamptz, uuid, boolean, integer, integer, integer, numeric, {_ENDING})",
    f"ai_record_generation(uuid, uuid, {_QUESTION}, {_ENDING})",
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
    """Beginning an attempt and ending a generation in one statement each, the money included."""

    dependencies = [("ai", "0004_breaker_changes"), ("costs", "0003_hold_functions")]
    operations = [
        migrations.AddField(
            model_name="generation",
            name="joined_id",
            field=models.UUIDField(
                null=True, blank=True, help_text="The generation whose call answered this one too."
            ),
        ),
        migrations.AddField(
            model_name="generation",
            name="age",
            field=models.DurationField(
                null=True, blank=True, help_text="How old the answer was when it was given."
            ),
        ),
        migrations.RunSQL(
            [_BEGIN, _END, _RECORD, *_RIGHTS],
            reverse_sql=[
                *(f"DROP FUNCTION {function}" for function in reversed(_FUNCTIONS)),
                "DROP TYPE ai_ended",
            ],
        ),
    ]
