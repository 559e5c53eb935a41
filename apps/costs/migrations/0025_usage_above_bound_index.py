from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """The few holds whose attempts cost more than was held are looked for every 15 s."""

    atomic = False

    dependencies = [("costs", "0024_usage_above_bound")]
    operations = [
        # One that was killed has left an index of that name, which may be half made.
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS hold_above_bound", reverse_sql=migrations.RunSQL.noop
        ),
        AddIndexConcurrently(
            model_name="hold",
            index=models.Index(
                condition=models.Q(("above_bound_at__isnull", False)),
                fields=["above_bound_at"],
                name="hold_above_bound",
            ),
        ),
        # Of a column that it knows nothing of, PostgreSQL takes a third of the rows to match, and plans for so many.
        migrations.RunSQL("ANALYZE costs_hold (above_bound_at)", reverse_sql=migrations.RunSQL.noop),
    ]
