from django.db import migrations, models

_COLUMNS = """
id, created_at, tenant_id, account_id, fan_id, outbox_id, template_id, text, user_id, price, media, priority,
not_before, state, attempt, failures, slots, sent_at, finished_at, platform_id, reason, error
"""

# Nobody may delete from the archive, but what a person replays comes back from it: the dead, one row each.
_RESTORE = f"""
CREATE INDEX messagearchive_dead ON messaging_messagearchive (tenant_id, id) WHERE state = 'dead';
CREATE FUNCTION restore_dead_messages(ids uuid[]) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH taken AS (
        DELETE FROM messaging_messagearchive WHERE id = ANY(ids) AND state = 'dead' RETURNING *
    ), back AS (
        INSERT INTO messaging_message ({_COLUMNS}) SELECT {_COLUMNS} FROM taken RETURNING outbox_id
    ), reopened AS (
        UPDATE messaging_outbox SET archived_at = NULL
        WHERE archived_at IS NOT NULL AND id IN (SELECT outbox_id FROM back)
    )
    SELECT count(*)::integer FROM back
$$;
REVOKE ALL ON FUNCTION restore_dead_messages(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION restore_dead_messages(uuid[]) TO huntaze_system;
"""  # noqa: S608  # only the constant above is inserted
_LEAVE = """
DROP FUNCTION restore_dead_messages(uuid[]);
DROP INDEX messagearchive_dead;
"""


class Migration(migrations.Migration):
    dependencies = [("messaging", "0004_archive")]
    operations = [
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("state", "dead")), fields=["tenant_id", "id"], name="message_dead"
            ),
        ),
        migrations.RunSQL(_RESTORE, reverse_sql=_LEAVE),
    ]
