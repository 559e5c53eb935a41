from django.db import migrations, models


class Migration(migrations.Migration):
    """Mutes by their rule and subject, which every alert is asked for."""

    dependencies = [
        ("notifications", "0002_targets"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("muted_until__isnull", False)),
                fields=["rule", "subject"],
                name="alert_muted",
            ),
        ),
    ]
