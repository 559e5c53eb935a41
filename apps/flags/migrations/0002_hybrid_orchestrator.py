from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

NAME = "hybrid_orchestrator"
DESCRIPTION = (
    "Generations may go to any provider, chosen by task, cost and what works at the moment. "
    "Off: each task goes to its one provider, and to another only if that has no deployment that is able."
)


def add_flag(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    flags = apps.get_model("flags", "Flag").objects.using(editor.connection.alias)
    flags.get_or_create(name=NAME, defaults={"description": DESCRIPTION, "rollout_percent": 100})


def remove_flag(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("flags", "Flag").objects.using(editor.connection.alias).filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [("flags", "0001_initial")]
    operations = [migrations.RunPython(add_flag, remove_flag)]
