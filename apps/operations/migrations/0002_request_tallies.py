from django.db import migrations, models

from apps.common.rls import SystemOnly


class Migration(migrations.Migration):
    """How many requests were answered and failed, for the rule that tells of too many failures."""

    dependencies = [("operations", "0001_initial")]
    operations = [
        migrations.CreateModel(
            name="RequestTally",
            fields=[
                (
                    "minute",
                    models.DateTimeField(help_text="Its first instant.", primary_key=True, serialize=False),
                ),
                ("requests", models.PositiveIntegerField()),
                ("failed", models.PositiveIntegerField()),
            ],
            options={
                "verbose_name_plural": "request tallies",
                "ordering": ["-minute"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("failed__lte", models.F("requests"))),
                        name="requesttally_failed_are_requests",
                    )
                ],
            },
        ),
        SystemOnly("operations_requesttally"),
    ]
