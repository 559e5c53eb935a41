from importlib import import_module

from django.db import migrations, models

# As before, but it also tells what a claim goes by that isn't the first one, and counts those that were abandoned.
_CLAIM = """
CREATE FUNCTION ai_claim_generation(
    p_generation uuid, p_now timestamptz, p_lease_until timestamptz,
    OUT id uuid, OUT tenant_id uuid, OUT created_at timestamptz, OUT prompt_id uuid, OUT variables text,
    OUT max_tokens integer, OUT priority integer, OUT account_id uuid, OUT campaign_id uuid, OUT user_id uuid,
    OUT fresh boolean, OUT pinned_id uuid, OUT was_abandoned boolean, OUT started_at timestamptz, OUT attempts integer,
    OUT lost_attempts integer, OUT abandonments integer, OUT error_code text, OUT error text
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
    SET state = 'running', lease_expires_at = p_lease_until, started_at = coalesce(claimed.started_at, p_now),
        abandonments = claimed.abandonments + was_abandoned::integer
    WHERE claimed.id = ai_claim_generation.id
    RETURNING claimed.tenant_id, claimed.created_at, claimed.prompt_id, claimed.variables, claimed.max_tokens,
        claimed.priority, claimed.account_id, claimed.campaign_id, claimed.user_id, claimed.fresh, claimed.pinned_id,
        claimed.started_at, claimed.attempts, claimed.lost_attempts, claimed.abandonments, claimed.error_code,
        claimed.error
    INTO tenant_id, created_at, prompt_id, variables, max_tokens, priority, account_id, campaign_id, user_id, fresh,
        pinned_id, started_at, attempts, lost_attempts, abandonments, error_code, error;
END
$$
"""
_NAME = "ai_claim_generation(uuid, timestamptz, timestamptz)"
_DROP = f"DROP FUNCTION {_NAME}"
_RIGHTS = [
    f"REVOKE ALL ON FUNCTION {_NAME} FROM PUBLIC",
    f"GRANT EXECUTE ON FUNCTION {_NAME} TO huntaze_app, huntaze_system",
]
_BEFORE = import_module("apps.ai.migrations.0014_claim_function")._CLAIM


class Migration(migrations.Migration):
    """What is known of claims that came to nothing: how many there were, and which attempts they made."""

    dependencies = [("ai", "0014_claim_function")]
    operations = [
        migrations.AddField(
            model_name="generation",
            name="lost_attempts",
            field=models.PositiveSmallIntegerField(
                db_default=0, help_text="Those of processes that died; a whole run followed."
            ),
        ),
        migrations.AddField(
            model_name="generation",
            name="abandonments",
            field=models.PositiveSmallIntegerField(
                db_default=0, help_text="How often a process died over it, or failed."
            ),
        ),
        migrations.RunSQL([_DROP, _CLAIM, *_RIGHTS], reverse_sql=[_DROP, _BEFORE, *_RIGHTS]),
    ]
