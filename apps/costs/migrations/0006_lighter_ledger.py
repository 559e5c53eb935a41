from django.db import migrations

from apps.common.partitions import IndexPartitions

_LEDGER = "costs_ledgerentry"
_ONCE = "(occurred_at, generation_id, attempt, sequence)"
# The indexes that they replace: quickly gone, when nothing needs them any more.
_FORWARD = """
ALTER TABLE costs_ledgerentry DROP CONSTRAINT costs_ledgerentry_pkey, DROP CONSTRAINT ledgerentry_once;
DROP INDEX ledgerentry_by_tenant;
"""
_BACKWARD = f"""
CREATE INDEX ledgerentry_by_tenant ON costs_ledgerentry (tenant_id, occurred_at);
ALTER TABLE costs_ledgerentry ADD PRIMARY KEY (id, occurred_at), ADD CONSTRAINT ledgerentry_once UNIQUE {_ONCE};
"""


class Migration(migrations.Migration):
    """The index of the ledger's tail, and others that take half the room of those before."""

    atomic = False
    dependencies = [("costs", "0005_rollups")]
    operations = [
        # What every reading of the roll-ups adds. With the generation as a column it would take half as much
        # again; raising the generation makes it anew.
        IndexPartitions(_LEDGER, "ledgerentry_tail", "(txid) WHERE ledger_generation = 1"),
        # Each tenant is named once for many entries. With the time beside it, it took a third of the table's room.
        IndexPartitions(_LEDGER, "ledgerentry_tenant", "(tenant_id)"),
        # Ids only ever grow: the ranges of pages in which they lie say where to look.
        IndexPartitions(
            _LEDGER, "ledgerentry_id", "USING brin (id) WITH (pages_per_range = 32, autosummarize = on)"
        ),
        # Entries come some seconds out of order; pages that leave room for them aren't split.
        IndexPartitions(_LEDGER, "ledgerentry_attempt", f"{_ONCE} WITH (fillfactor = 75)", unique=True),
        migrations.RunSQL(_FORWARD, reverse_sql=_BACKWARD),
    ]
