from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """The few counters that a correction has raised are looked for every 15 s."""

    atomic = False

    dependencies = [("costs", "0015_raised_counters")]
    operations = [
        # One that was killed has left an index of that name, which may be half made.
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS budgetcounter_raised", reverse_sql=migrations.RunSQL.noop
        ),
        AddIndexConcurrently(
            model_name="budgetcounter",
            index=models.Index(
                condition=models.Q(("raised_at__isnull", False)),
                fields=["raised_at"],
                name="budgetcounter_raised",
            ),
        ),
    ]
