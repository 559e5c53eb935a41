from django.db import migrations

_WHAT, _WHOM = "provider, model, task_kind", "account_id, campaign_id, user_id"
_SUMS = "attempts, estimated, input_tokens, cached_tokens, output_tokens, amount"
# The key of each, as it was and as it is: of all dimensions, people mostly want what is of one campaign.
_KEYS = {
    "dayrollup": (f"{_WHAT}, {_WHOM}", f"campaign_id, account_id, user_id, {_WHAT}"),
    "daywhatrollup": (_WHAT, _WHAT),
    "daywhomrollup": (_WHOM, "campaign_id, account_id, user_id"),
}


def _make(name: str, index: str) -> tuple[str, ...]:
    """Take another index for a table's key while it is written to, once more from the start if it was killed."""
    return (
        f"DROP INDEX CONCURRENTLY IF EXISTS {name}_next",
        f"CREATE UNIQUE INDEX CONCURRENTLY {name}_next ON costs_{name} {index}",
        # Everybody waits behind whoever waits to alter a table, and a recomputation can hold it for hours.
        "SET lock_timeout = '3s'",
        f"ALTER TABLE costs_{name} DROP CONSTRAINT {name}_once,"
        f" ADD CONSTRAINT {name}_once UNIQUE USING INDEX {name}_next",
        "RESET lock_timeout",
    )


class Migration(migrations.Migration):
    """Days are read from their indexes alone: a tenant's rows of a year are on nearly as many pages as they are."""

    atomic = False
    dependencies = [("costs", "0021_lighter_counters")]
    operations = [
        migrations.RunSQL(
            _make(name, f"(tenant_id, day, {key}) INCLUDE ({_SUMS}) NULLS NOT DISTINCT"),
            reverse_sql=_make(name, f"(tenant_id, day, {before}) NULLS NOT DISTINCT"),
        )
        for name, (before, key) in _KEYS.items()
    ]
