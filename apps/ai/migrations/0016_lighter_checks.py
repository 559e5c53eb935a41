from django.db import migrations

import apps.common.fields

# Whatever a table is checked for is parsed and planned anew in each statement that writes to it; what is known
# of a generation's state is in generation_finished_has_its_time, too.


class Migration(migrations.Migration):
    dependencies = [
        ("ai", "0015_abandonments"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="generation",
            name="generation_state_known",
        ),
        migrations.AlterField(
            model_name="generation",
            name="abandonments",
            field=apps.common.fields.SmallCountField(
                db_default=0, help_text="How often a process died over it, or failed."
            ),
        ),
        migrations.AlterField(
            model_name="generation",
            name="attempts",
            field=apps.common.fields.SmallCountField(default=0, help_text="Calls made to providers."),
        ),
        migrations.AlterField(
            model_name="generation",
            name="cached_tokens",
            field=apps.common.fields.CountField(default=0),
        ),
        migrations.AlterField(
            model_name="generation",
            name="input_tokens",
            field=apps.common.fields.CountField(default=0),
        ),
        migrations.AlterField(
            model_name="generation",
            name="lost_attempts",
            field=apps.common.fields.SmallCountField(
                db_default=0, help_text="Those of processes that died; a whole run followed."
            ),
        ),
        migrations.AlterField(
            model_name="generation",
            name="max_tokens",
            field=apps.common.fields.CountField(),
        ),
        migrations.AlterField(
            model_name="generation",
            name="output_tokens",
            field=apps.common.fields.CountField(default=0),
        ),
        migrations.AlterField(
            model_name="generation",
            name="priority",
            field=apps.common.fields.SmallCountField(
                choices=[(0, "high"), (1, "medium"), (2, "low")], default=1
            ),
        ),
    ]
