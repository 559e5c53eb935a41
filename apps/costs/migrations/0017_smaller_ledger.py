from django.db import migrations

from apps.common.partitions import IndexPartitions

_LEDGER = "costs_ledgerentry"
_ONCE = "(occurred_at, generation_id, attempt, sequence)"
_BEFORE = f"""
CREATE UNIQUE INDEX IF NOT EXISTS ledgerentry_attempt ON costs_ledgerentry {_ONCE} WITH (fillfactor = 75)
"""


class Migration(migrations.Migration):
    """The index that enters an attempt once in five sixths of its room."""

    atomic = False
    dependencies = [("costs", "0016_raised_counters_index")]
    operations = [
        # Entries come nearly in order: what comes late finds room, or one page is split for many.
        IndexPartitions(_LEDGER, "ledgerentry_call", f"{_ONCE} WITH (fillfactor = 90)", unique=True),
        # It has gone, where this was killed before it was recorded.
        migrations.RunSQL("DROP INDEX IF EXISTS ledgerentry_attempt", reverse_sql=_BEFORE),
    ]
