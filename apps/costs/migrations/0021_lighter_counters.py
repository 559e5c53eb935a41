from django.db import migrations

import apps.common.fields


class Migration(migrations.Migration):
    """By itself: one transaction that locks both holds and counters would wait in a circle with calls."""

    dependencies = [
        ("costs", "0020_lighter_holds"),
    ]

    operations = [
        migrations.AlterField(
            model_name="budgetcounter",
            name="shadow_calls",
            field=apps.common.fields.CountField(
                db_default=0,
                default=0,
                help_text="Calls that were made in shadow mode though they didn't fit.",
            ),
        ),
    ]
