from django.db import migrations

# The usable key with this hash, and its tenant, as they are; NULL where there is none. The role lasts as long as the
# transaction does. A key's last use is noted at most once in `p_resolution`.
_FIND = """
CREATE FUNCTION tenants_find_api_key(
    p_hash text, p_now timestamptz, p_resolution interval, OUT api_key jsonb, OUT tenant jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    found tenants_apikey;
    owner tenants_tenant;
BEGIN
    PERFORM set_config('role', 'huntaze_system', true);
    SELECT * INTO found FROM tenants_apikey
    WHERE key_hash = p_hash AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > p_now);
    IF found.id IS NULL THEN
        RETURN;
    END IF;
    IF found.last_used_at IS NULL OR found.last_used_at < p_now - p_resolution THEN
        UPDATE tenants_apikey SET last_used_at = p_now WHERE id = found.id;
    END IF;
    SELECT * INTO owner FROM tenants_tenant WHERE id = found.tenant_id;
    api_key := to_jsonb(found);
    tenant := to_jsonb(owner);
END
$$
"""
_NAME = "tenants_find_api_key(text, timestamptz, interval)"


class Migration(migrations.Migration):
    """Finding an API key in one statement: every request begins with it."""

    dependencies = [("tenants", "0001_initial")]
    operations = [
        migrations.RunSQL(
            [
                _FIND,
                f"REVOKE ALL ON FUNCTION {_NAME} FROM PUBLIC",
                f"GRANT EXECUTE ON FUNCTION {_NAME} TO huntaze_app, huntaze_system",
            ],
            reverse_sql=f"DROP FUNCTION {_NAME}",
        )
    ]
