from django.db import migrations

from apps.common.partitions import IndexPartitions

_LEDGER = "costs_ledgerentry"
_ONCE = "(occurred_at, generation_id, attempt, sequence)"
# A thousand transactions have one key, of which a B-tree keeps a single copy: each entry commits by itself, so the
# index on `txid` was three times as large. Whoever reads the tail asks for both, and the index finds the block.
_BLOCK = "txid::text::bigint / 1024"

_RECENT = (
    f"CREATE INDEX ledgerentry_recent ON public.costs_ledgerentry (({_BLOCK})) WHERE ledger_generation = %s"
)
# The index above is made for the first generation; after a restore it is another.
_OF_THE_PRESENT = f"""
DO $do$
DECLARE
    present smallint := (SELECT ledger_generation FROM costs_rollupwatermark);
BEGIN
    IF present <> 1 THEN
        DROP INDEX ledgerentry_recent;
        EXECUTE format('{_RECENT}', present);
    END IF;
END
$do$
"""  # noqa: S608  # no data in it
_RAISE = """
CREATE OR REPLACE FUNCTION raise_ledger_generation() RETURNS smallint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    raised smallint := (SELECT ledger_generation + 1 FROM public.costs_rollupwatermark);
BEGIN
    EXECUTE format('ALTER TABLE public.costs_ledgerentry ALTER COLUMN ledger_generation SET DEFAULT %s', raised);
    DROP INDEX public.{index};
    EXECUTE format('CREATE INDEX {index} ON public.costs_ledgerentry ({key}) WHERE ledger_generation = %s', raised);
    RETURN raised;
END
$$
"""


def _asking(function: str, *, before: str, after: str) -> str:
    """The function as it is, but for what it asks of the transaction."""
    return f"""
DO $do$
DECLARE
    written text := pg_get_functiondef('{function}'::regprocedure);
BEGIN
    IF strpos(written, $before${before}$before$) = 0 THEN
        RAISE EXCEPTION '{function} is not as it was';
    END IF;
    EXECUTE replace(written, $before${before}$before$, $after${after}$after$);
END
$do$
"""


# Functions, and what they ask without and with the block.
_READERS = [
    (
        "costs_ledger_tail(uuid, date, date)",
        "AND entry.txid >= $1'",
        f"AND entry.txid >= $1 AND entry.{_BLOCK} >= $1::text::bigint / 1024'",
    ),
    (
        "drop_oldest_ledger_partition(date)",
        "AND txid >= $1)'",
        f"AND txid >= $1 AND {_BLOCK} >= $1::text::bigint / 1024)'",
    ),
]
_OLD = """
CREATE INDEX ledgerentry_tail ON costs_ledgerentry (txid) WHERE ledger_generation = 1;
CREATE UNIQUE INDEX ledgerentry_attempt ON costs_ledgerentry (occurred_at, generation_id, attempt, sequence)
    WITH (fillfactor = 75);
"""


class Migration(migrations.Migration):
    """Two indexes of the ledger in two thirds of their room."""

    atomic = False
    dependencies = [("costs", "0016_raised_counters_index")]
    operations = [
        IndexPartitions(_LEDGER, "ledgerentry_recent", f"(({_BLOCK})) WHERE ledger_generation = 1"),
        migrations.RunSQL(_OF_THE_PRESENT, reverse_sql=migrations.RunSQL.noop),
        # Entries come nearly in order: what comes late finds room, or one page is split for many.
        IndexPartitions(_LEDGER, "ledgerentry_call", f"{_ONCE} WITH (fillfactor = 90)", unique=True),
        *(
            migrations.RunSQL(
                _asking(function, before=plain, after=blocked), _asking(function, before=blocked, after=plain)
            )
            for function, plain, blocked in _READERS
        ),
        migrations.RunSQL(
            _RAISE.format(index="ledgerentry_recent", key=f"({_BLOCK})"),
            reverse_sql=_RAISE.format(index="ledgerentry_tail", key="txid"),
        ),
        migrations.RunSQL("DROP INDEX ledgerentry_tail, ledgerentry_attempt", reverse_sql=_OLD),
    ]
