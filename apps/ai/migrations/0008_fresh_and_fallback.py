from typing import Any

from django.apps.registry import Apps
from django.db import migrations, models
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
                default="",
                help_text="What optional work gets while nobody can answer, with the same variables; empty: an "
                "error. With a schema, JSON that fits it.",
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="deployment",
            name="disabled_reason",
            field=models.CharField(
                blank=True,
                default="",
                help_text="Why it was disabled, if that was not done here.",
                max_length=300,
            ),
            preserve_default=False,
        ),
        migrations.RunPython(add_prompt, remove_prompt),
    ]
