from typing import Any

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

PROMPT: dict[str, Any] = {
    "key": "embedding",
    "version": 1,
    "task_kind": "embedding",
    "body": "{{ input }}",
    "max_tokens": 0,
    "is_active": True,
}


def add_prompt(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("ai", "PromptTemplate").objects.using(editor.connection.alias).create(**PROMPT)


def remove_prompt(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    prompts = apps.get_model("ai", "PromptTemplate").objects.using(editor.connection.alias)
    prompts.filter(key=PROMPT["key"], version=PROMPT["version"]).delete()


class Migration(migrations.Migration):
    dependencies = [("ai", "0008_fresh_and_fallback")]
    operations = [migrations.RunPython(add_prompt, remove_prompt)]
