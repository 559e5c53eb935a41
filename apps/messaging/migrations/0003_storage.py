from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models import Q

# A message's row is written anew when it is granted, when it is started and when it has ended. With room in
# its page the new version stays there, and the one of the start needs no entry in any index (docs/dispatch.md
# has the figures). An outbox's counters and an account's dates change all the time in few rows.
_ROOM = """
ALTER TABLE messaging_message SET (fillfactor = 70);
ALTER TABLE messaging_account SET (fillfactor = 70);
ALTER TABLE messaging_outbox SET (fillfactor = 50);
"""
_NO_ROOM = """
ALTER TABLE messaging_message RESET (fillfactor);
ALTER TABLE messaging_account RESET (fillfactor);
ALTER TABLE messaging_outbox RESET (fillfactor);
"""


class Migration(migrations.Migration):
    """Each statement by itself: indexes are built while the application writes."""

    atomic = False
    dependencies = [("messaging", "0002_dispatcher")]
    operations = [
        migrations.RunSQL(_ROOM, reverse_sql=_NO_ROOM),
        migrations.AddField(
            model_name="outbox",
            name="archived_at",
            field=models.DateTimeField(
                null=True,
                blank=True,
                editable=False,
                help_text="Since when none of its messages is a live one.",
            ),
        ),
        AddIndexConcurrently(
            model_name="outbox",
            index=models.Index(
                fields=["closed_at"],
                condition=Q(closed_at__isnull=False, archived_at__isnull=True),
                name="outbox_to_archive",
            ),
        ),
        AddIndexConcurrently(
            model_name="outbox",
            index=models.Index(
                fields=["id"],
                condition=Q(cancelled_at__isnull=False, closed_at__isnull=True),
                name="outbox_to_close",
            ),
        ),
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(fields=["tenant_id", "id"], name="message_by_tenant_and_id"),
        ),
        RemoveIndexConcurrently(model_name="message", name="message_by_tenant"),
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(fields=["account", "id"], name="message_by_account_and_id"),
        ),
        RemoveIndexConcurrently(model_name="message", name="message_by_account"),
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(
                fields=["state", "finished_at"],
                condition=Q(outbox__isnull=True),
                name="message_single_by_end",
            ),
        ),
        RemoveIndexConcurrently(model_name="message", name="message_single"),
    ]
