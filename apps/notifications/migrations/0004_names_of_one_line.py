from django.db import migrations, models

import apps.common.text


class Migration(migrations.Migration):
    """Nothing of the table changes: what a form or a service takes for a name does."""

    dependencies = [
        ("notifications", "0003_alert_mutes"),
    ]

    operations = [
        migrations.AlterField(
            model_name="notificationtarget",
            name="name",
            field=models.CharField(
                help_text="How people call it, such as #alerts.",
                max_length=100,
                validators=[apps.common.text.validate_name],
            ),
        ),
    ]
