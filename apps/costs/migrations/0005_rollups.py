from django.db import migrations

from apps.common.rls import IsolateTenants, ReadOnlyForTenants

# Wide columns first, so that no row is padded. Hours carry their day too: a range of days is then the same
# condition on all three tables, whatever a time zone does with its clock.
_PERIODS = {
    "costs_hourrollup": ("hour timestamptz NOT NULL, day date NOT NULL", "day, hour"),
    "costs_dayrollup": ("day date NOT NULL", "day"),
    "costs_monthrollup": ("month date NOT NULL", "month"),
}


def _create(table: str) -> str:
    columns, period = _PERIODS[table]
    return f"""
CREATE TABLE {table} (
    tenant_id uuid NOT NULL,
    account_id uuid,
    campaign_id uuid,
    user_id uuid,
    input_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    {columns},
    attempts integer NOT NULL,
    estimated integer NOT NULL,
    amount numeric(20, 10) NOT NULL,
    provider varchar(32) NOT NULL,
    model varchar(100) NOT NULL,
    task_kind varchar(32) NOT NULL,
    CONSTRAINT {table.removeprefix("costs_")}_once UNIQUE NULLS NOT DISTINCT
        (tenant_id, {period}, provider, model, task_kind, account_id, campaign_id, user_id)
) WITH (fillfactor = 90)
"""


_OF_A_CAMPAIGN = """
CREATE INDEX monthrollup_by_campaign ON costs_monthrollup (campaign_id) WHERE campaign_id IS NOT NULL
"""

# All entries before it are in the roll-ups, none from it on.
_WATERMARK = """
CREATE TABLE costs_rollupwatermark (
    txid xid8 NOT NULL,
    ledger_generation smallint NOT NULL,
    id boolean PRIMARY KEY DEFAULT true CONSTRAINT rollupwatermark_only_one CHECK (id)
);
INSERT INTO costs_rollupwatermark (ledger_generation, txid) VALUES (1, '0');
REVOKE DELETE, TRUNCATE ON costs_rollupwatermark FROM huntaze_app, huntaze_system;
"""

# One tenant with a zone that only Python knows must not keep everybody's entries out of the roll-ups.
_CALENDAR = """
CREATE FUNCTION costs_zone(p_zone text) RETURNS text LANGUAGE plpgsql STABLE STRICT AS $$
BEGIN
    PERFORM now() AT TIME ZONE p_zone;
    RETURN p_zone;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN 'UTC';
END
$$;
CREATE VIEW costs_calendar WITH (security_invoker = true) AS
SELECT tenant.id AS tenant_id, known.zone
FROM tenants_tenant AS tenant
JOIN (SELECT each.time_zone, costs_zone(each.time_zone) AS zone
      FROM (SELECT DISTINCT time_zone FROM tenants_tenant) AS each) AS known USING (time_zone);
REVOKE ALL ON costs_calendar FROM huntaze_app, huntaze_system;
GRANT SELECT ON costs_calendar TO huntaze_app, huntaze_system;
"""

# STABLE is what makes it exact: its statements then see what the one sees that calls it and reads the
# roll-ups. The watermark is read first, so that the planner knows how few entries come after it.
_TAIL = """
CREATE FUNCTION costs_ledger_tail(p_tenant uuid, p_since date, p_until date) RETURNS TABLE (
    tenant_id uuid, month date, day date, hour timestamptz, provider varchar, model varchar, task_kind varchar,
    account_id uuid, campaign_id uuid, user_id uuid, attempts integer, estimated integer,
    input_tokens bigint, cached_tokens bigint, output_tokens bigint, amount numeric
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    mark record;
BEGIN
    SELECT watermark.ledger_generation, watermark.txid INTO STRICT mark FROM costs_rollupwatermark AS watermark;
    RETURN QUERY EXECUTE
        'SELECT entry.tenant_id, date_trunc(''month'', entry.occurred_at AT TIME ZONE local.zone)::date,'
        ' (entry.occurred_at AT TIME ZONE local.zone)::date, date_trunc(''hour'', entry.occurred_at, local.zone),'
        ' entry.provider, entry.model, entry.task_kind, entry.account_id, entry.campaign_id, entry.user_id,'
        ' (entry.sequence = 0)::integer, entry.estimated::integer - (entry.sequence = 1)::integer,'
        ' entry.input_tokens::bigint, entry.cached_tokens::bigint, entry.output_tokens::bigint, entry.amount'
        ' FROM costs_ledgerentry AS entry LEFT JOIN costs_calendar AS calendar USING (tenant_id)'
        ' CROSS JOIN LATERAL (SELECT coalesce(calendar.zone, ''UTC'') AS zone) AS local'
        ' WHERE entry.ledger_generation = ' || mark.ledger_generation || ' AND entry.txid >= $1'
        || CASE WHEN p_tenant IS NULL THEN '' ELSE ' AND entry.tenant_id = $2' END
        || CASE WHEN p_since IS NULL THEN '' ELSE
            ' AND entry.occurred_at >= ($3 - 2)::timestamp AT TIME ZONE ''UTC'''
            ' AND (entry.occurred_at AT TIME ZONE local.zone)::date >= $3' END
        || CASE WHEN p_until IS NULL THEN '' ELSE
            ' AND entry.occurred_at < ($4 + 3)::timestamp AT TIME ZONE ''UTC'''
            ' AND (entry.occurred_at AT TIME ZONE local.zone)::date <= $4' END
    USING mark.txid, p_tenant, p_since, p_until;
END
$$
"""

# ALTER TABLE waits for the transactions that have entered something, and whatever comes later has the new one.
_RAISE = """
CREATE FUNCTION raise_ledger_generation() RETURNS smallint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    raised smallint := (SELECT ledger_generation + 1 FROM public.costs_rollupwatermark);
BEGIN
    EXECUTE format('ALTER TABLE public.costs_ledgerentry ALTER COLUMN ledger_generation SET DEFAULT %s', raised);
    DROP INDEX public.ledgerentry_tail;
    EXECUTE format(
        'CREATE INDEX ledgerentry_tail ON public.costs_ledgerentry (txid) WHERE ledger_generation = %s', raised);
    RETURN raised;
END
$$;
REVOKE ALL ON FUNCTION raise_ledger_generation() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION raise_ledger_generation() TO huntaze_system;
"""

_FUNCTIONS = ["costs_zone(text)", "costs_ledger_tail(uuid, date, date)"]
_RIGHTS = [
    statement
    for function in _FUNCTIONS
    for statement in (
        f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {function} TO huntaze_app, huntaze_system",
    )
]


class Migration(migrations.Migration):
    """The ledger's roll-ups, and how far they reach."""

    dependencies = [("costs", "0004_lighter_settlement"), ("tenants", "0001_initial")]
    operations = [
        *(
            operation
            for table in _PERIODS
            for operation in (
                migrations.RunSQL(_create(table), reverse_sql=f"DROP TABLE {table}"),
                IsolateTenants(table),
                ReadOnlyForTenants(table),
            )
        ),
        migrations.RunSQL(_OF_A_CAMPAIGN, reverse_sql=migrations.RunSQL.noop),
        migrations.RunSQL(_WATERMARK, reverse_sql="DROP TABLE costs_rollupwatermark"),
        ReadOnlyForTenants("costs_rollupwatermark"),
        migrations.RunSQL(
            [_CALENDAR, _TAIL, _RAISE, *_RIGHTS],
            reverse_sql=[
                "DROP FUNCTION raise_ledger_generation()",
                "DROP FUNCTION costs_ledger_tail(uuid, date, date)",
                "DROP VIEW costs_calendar",
                "DROP FUNCTION costs_zone(text)",
            ],
        ),
    ]
