from django.db import migrations

from apps.common.rls import IsolateTenants, ReadOnlyForTenants

_SUMS = ("attempts", "estimated", "input_tokens", "cached_tokens", "output_tokens", "amount")
_KEYS = {
    "costs_daywhatrollup": ("provider", "model", "task_kind"),
    "costs_daywhomrollup": ("account_id", "campaign_id", "user_id"),
}
_COLUMNS = {
    "costs_daywhatrollup": (
        "",
        "provider varchar(32) NOT NULL, model varchar(100) NOT NULL, task_kind varchar(32) NOT NULL,",
    ),
    "costs_daywhomrollup": ("account_id uuid, campaign_id uuid, user_id uuid,", ""),
}
# Whoever runs, recomputes or moves a calendar by the code before would pass the new tables over. It doesn't find
# the watermark any more: its runs fail, and the tail holds what they would have taken in until those of the new
# code come. Nobody reads the watermark but they and the tail.
_RENAME = "ALTER TABLE costs_rollupwatermark RENAME COLUMN {} TO {}"


def _create(table: str) -> str:
    wide, narrow = _COLUMNS[table]
    return f"""
CREATE TABLE {table} (
    tenant_id uuid NOT NULL,
    {wide}
    input_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    day date NOT NULL,
    attempts integer NOT NULL,
    estimated integer NOT NULL,
    amount numeric(20, 10) NOT NULL,
    {narrow}
    CONSTRAINT {table.removeprefix("costs_")}_once
        UNIQUE NULLS NOT DISTINCT (tenant_id, day, {", ".join(_KEYS[table])})
) WITH (fillfactor = 90)
"""


def _fill(table: str) -> str:
    key = ", ".join(("tenant_id", "day", *_KEYS[table]))
    return f"""
INSERT INTO {table} ({key}, {", ".join(_SUMS)})
SELECT {key}, {", ".join(f"sum({name})" for name in _SUMS)} FROM costs_dayrollup GROUP BY {key}
"""  # noqa: S608  # no data in it


def _tail(column: str) -> str:
    """The function as it is, but for the column's name."""
    other = {"reached": "txid", "txid": "reached"}[column]
    return f"""
DO $$
BEGIN
    EXECUTE replace(replace(
        pg_get_functiondef('costs_ledger_tail(uuid, date, date)'::regprocedure),
        'watermark.{other}', 'watermark.{column}'), 'mark.{other},', 'mark.{column},');
END
$$
"""


class Migration(migrations.Migration):
    """Days summed over whom they are for, and over what was called: a tenth of the rows for most who ask."""

    dependencies = [("costs", "0007_budget_modes")]
    operations = [
        # It waits for whoever is at the roll-ups, and nobody begins until this is committed.
        migrations.RunSQL(_RENAME.format("txid", "reached"), _RENAME.format("reached", "txid")),
        migrations.RunSQL(_tail("reached"), _tail("txid")),
        *(
            operation
            for table in _KEYS
            for operation in (
                migrations.RunSQL(_create(table), reverse_sql=f"DROP TABLE {table}"),
                migrations.RunSQL(_fill(table), reverse_sql=migrations.RunSQL.noop),
                IsolateTenants(table),
                ReadOnlyForTenants(table),
            )
        ),
    ]
