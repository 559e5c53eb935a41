from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

import apps.common.fields

# Whatever a table is checked for is parsed and planned anew in each statement that writes to it. What was
# written until now has passed the checks that these replace, so nothing is looked at again.


class Migration(migrations.Migration):
    dependencies = [
        ("costs", "0019_tail_of_campaigns"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="hold",
            name="hold_state_known",
        ),
        migrations.RemoveConstraint(
            model_name="hold",
            name="hold_ended_has_its_time",
        ),
        migrations.AlterField(
            model_name="hold",
            name="attempt",
            field=apps.common.fields.SmallCountField(),
        ),
        AddConstraintNotValid(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at__isnull", True), ("state", "held")),
                    models.Q(("ended_at__isnull", False), ("state__in", ["settled", "released"])),
                    _connector="OR",
                ),
                name="hold_ended_has_its_time",
            ),
        ),
    ]
