from django.db import models
from django.db.models import Q

from apps.common.models import TenantOwned
from apps.common.priority import Priority
from apps.messaging.models.accounts import Account


class Outbox(TenantOwned):
    """One campaign's set of messages. Pausing or cancelling it is a change of this one row."""

    campaign_id = models.UUIDField(null=True, unique=True)
    user_id = models.UUIDField(null=True, editable=False, help_text="Who made it; null: an API key.")
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.MEDIUM)
    paused_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Since when none of its messages is a live one."
    )
    queued = models.PositiveIntegerField(default=0)
    sending = models.PositiveIntegerField(default=0)
    sent = models.PositiveIntegerField(default=0)
    unknown = models.PositiveIntegerField(default=0)
    dead = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "outboxes"
        ordering = ["-id"]
        # Neither holds a counter: these change with every message, and no index with them.
        indexes = [
            models.Index(
                fields=["closed_at"],
                condition=Q(closed_at__isnull=False, archived_at__isnull=True),
                name="outbox_to_archive",
            ),
            models.Index(
                fields=["id"],
                condition=Q(cancelled_at__isnull=False, closed_at__isnull=True),
                name="outbox_to_close",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class MessageTemplate(TenantOwned):
    """A text with variables (Liquid) that an account's messages of an outbox are rendered from."""

    outbox = models.ForeignKey(Outbox, on_delete=models.CASCADE, related_name="templates")
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    body = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["outbox", "account"], name="messagetemplate_unique")]

    def __str__(self) -> str:
        return self.body[:80]
