from django.db import migrations

# The role, which lasts as long as the transaction does, sees every tenant's generations. One that two want is the
# first one's; the other takes the next, without waiting. A question that waits for a deployment to recover is left alone
# until its lease ends. `id` is NULL where there is nothing to do; `started_at` is when somebody first began on it, and
# `attempts`, of a pending one, are those before it was put back. Told twice, it claims two: the lease of the first runs
# out, and a sweep finds it.
_CLAIM = """
CREATE FUNCTION ai_claim_generation(
    p_generation uuid, p_now timestamptz, p_lease_until timestamptz,
    OUT id uuid, OUT tenant_id uuid, OUT created_at timestamptz, OUT prompt_id uuid, OUT variables text,
    OUT max_tokens integer, OUT priority integer, OUT account_id uuid, OUT campaign_id uuid, OUT user_id uuid,
    OUT fresh boolean, OUT pinned_id uuid, OUT was_abandoned boolean, OUT started_at timestamptz, OUT attempts integer
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('role', 'huntaze_system', true);
    SELECT due.id, due.state = 'running' INTO id, was_abandoned
    FROM ai_generation AS due
    WHERE due.state IN ('pending', 'running') AND (due.lease_expires_at IS NULL OR due.lease_expires_at <= p_now)
        AND (p_generation IS NULL OR due.id = p_generation)
    ORDER BY due.priority, due.id
    LIMIT 1 FOR UPDATE SKIP LOCKED;
    UPDATE ai_generation AS claimed
    SET state = 'running', lease_expires_at = p_lease_until, started_at = coalesce(claimed.started_at, p_now)
    WHERE claimed.id = ai_claim_generation.id
    RETURNING claimed.tenant_id, claimed.created_at, claimed.prompt_id, claimed.variables, claimed.max_tokens,
        claimed.priority, claimed.account_id, claimed.campaign_id, claimed.user_id, claimed.fresh, claimed.pinned_id,
        claimed.started_at, claimed.attempts
    INTO tenant_id, created_at, prompt_id, variables, max_tokens, priority, account_id, campaign_id, user_id, fresh,
        pinned_id, started_at, attempts;
END
$$
"""
_NAME = "ai_claim_generation(uuid, timestamptz, timestamptz)"


class Migration(migrations.Migration):
    """Claiming a generation in one statement."""

    dependencies = [("ai", "0013_judge_prompt")]
    operations = [
        migrations.RunSQL(
            [
                _CLAIM,
                f"REVOKE ALL ON FUNCTION {_NAME} FROM PUBLIC",
                f"GRANT EXECUTE ON FUNCTION {_NAME} TO huntaze_app, huntaze_system",
            ],
            reverse_sql=f"DROP FUNCTION {_NAME}",
        )
    ]
