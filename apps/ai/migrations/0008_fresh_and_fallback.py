from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ai", "0007_observation")]
    operations = [
        migrations.AddField(
            model_name="generation",
            name="fresh",
            field=models.BooleanField(
                db_default=False, help_text="Neither the cache nor an identical call may answer it."
            ),
        ),
        migrations.AddField(
            model_name="prompttemplate",
            name="fallback",
            field=models.TextField(
                blank=True,
                db_default="",
                help_text="What optional work gets while nobody can answer, with the same variables; empty: an "
                "error. With a schema, JSON that fits it.",
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="disabled_reason",
            field=models.CharField(
                blank=True,
                db_default="",
                help_text="Why it was disabled, if that was not done here.",
                max_length=300,
            ),
        ),
    ]
