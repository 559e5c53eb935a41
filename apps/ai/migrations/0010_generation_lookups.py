from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("ai", "0009_embedding_prompt")]
    operations = [
        # Whom a generation's answer went to besides.
        AddIndexConcurrently(
            model_name="generation",
            index=models.Index(
                fields=["joined_id", "-id"],
                condition=models.Q(joined_id__isnull=False),
                name="generation_by_joined",
            ),
        ),
        # The newest that asked with a prompt. It does the work of the key's own index, too.
        AddIndexConcurrently(
            model_name="generation",
            index=models.Index(fields=["prompt", "-id"], name="generation_by_prompt"),
        ),
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS ai_generation_prompt_id_a0e069e2",
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS ai_generation_prompt_id_a0e069e2"
            " ON ai_generation (prompt_id)",
            state_operations=[
                migrations.AlterField(
                    model_name="generation",
                    name="prompt",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=models.PROTECT,
                        related_name="+",
                        to="ai.prompttemplate",
                    ),
                )
            ],
        ),
    ]
