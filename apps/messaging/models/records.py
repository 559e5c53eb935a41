from django.contrib.postgres.fields import ArrayField
from django.db import models

from apps.common.models import TenantOwned
from apps.common.priority import Priority
from apps.messaging.models.accounts import Account, Fan
from apps.messaging.models.messages import MessageState
from apps.messaging.models.outboxes import MessageTemplate, Outbox


class MessageRecord(TenantOwned):
    """A message to be read, wherever it lies: a live row or one of the archive (migration 0004_archive).

    It is a view over both, so that a message on its way to the archive is seen exactly once.
    """

    account = models.ForeignKey(Account, on_delete=models.DO_NOTHING, related_name="+")
    fan = models.ForeignKey(Fan, on_delete=models.DO_NOTHING, related_name="+")
    outbox = models.ForeignKey(Outbox, on_delete=models.DO_NOTHING, null=True, related_name="+")
    template = models.ForeignKey(MessageTemplate, on_delete=models.DO_NOTHING, null=True, related_name="+")
    text = models.TextField(null=True)  # noqa: DJ001 -- empty and not yet rendered are two things
    user_id = models.UUIDField(null=True, help_text="Who enqueued it; null: an API key.")
    price = models.DecimalField(max_digits=10, decimal_places=2, null=True)
    media = models.JSONField()
    priority = models.PositiveSmallIntegerField(choices=Priority)
    not_before = models.DateTimeField()
    state = models.CharField(max_length=16, choices=MessageState)
    attempt = models.PositiveIntegerField(help_text="Grants so far.")
    failures = models.PositiveSmallIntegerField(help_text="Attempts that count towards the cap.")
    slots = ArrayField(models.DateTimeField(), help_text="The limiter's stamp of every granted attempt.")
    sent_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    platform_id = models.CharField(max_length=128, help_text="The platform's id of the message.")
    reason = models.CharField(max_length=64)
    error = models.TextField()
    is_archived = models.BooleanField("archived", help_text="It can't be acted on any more.")

    class Meta:
        managed = False
        db_table = "messaging_messagerecord"
        verbose_name = "message, live or archived"
        verbose_name_plural = "messages, live and archived"
        ordering = ["-id"]

    def __str__(self) -> str:
        return str(self.id)
