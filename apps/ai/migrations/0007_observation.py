from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("ai", "0006_routing_preferences")]
    operations = [
        # When each deployment last answered, for health: the newest entry of an index instead of a sort.
        AddIndexConcurrently(
            model_name="generation",
            index=models.Index(
                "deployment",
                models.F("finished_at").desc(),
                condition=models.Q(state="succeeded", source="provider"),
                name="generation_last_success",
            ),
        ),
    ]
