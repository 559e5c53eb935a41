from django.db import migrations, models


class Migration(migrations.Migration):
    """Budgets remember when they were changed: a period that was over by then had another limit.

    By itself: one transaction that locks both budgets and holds would wait in a circle with calls.
    """

    dependencies = [("costs", "0025_usage_above_bound_index")]
    operations = [
        migrations.AddField(
            model_name="budget",
            name="changed_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="When it was last changed: of periods that were over by then, it alerts no more.",
                null=True,
            ),
        ),
    ]
