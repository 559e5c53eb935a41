from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from apps.common.models import TenantOwned, is_one_of
from apps.common.priority import Priority
from apps.messaging.models.accounts import Account, Fan
from apps.messaging.models.outboxes import MessageTemplate, Outbox


class MessageState(models.TextChoices):
    """`queued → sending → sent | unknown | dead | cancelled`; of an unknown one a look-up decides."""

    QUEUED = "queued"
    SENDING = "sending"
    UNKNOWN = "unknown"
    SENT = "sent"
    DEAD = "dead"
    CANCELLED = "cancelled"


class Message(TenantOwned):
    """One message to one fan. Its id is the idempotency key at the platform."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="messages", db_index=False)
    fan = models.ForeignKey(Fan, on_delete=models.CASCADE, related_name="messages")
    outbox = models.ForeignKey(
        Outbox, on_delete=models.CASCADE, null=True, blank=True, related_name="messages", db_index=False
    )
    template = models.ForeignKey(
        MessageTemplate, on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    text = models.TextField(  # noqa: DJ001 -- empty and not yet rendered are two things
        null=True, blank=True, help_text="Rendered at the first claim, then sent byte for byte."
    )
    user_id = models.UUIDField(null=True, editable=False, help_text="Who enqueued it; null: an API key.")
    price = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    media = models.JSONField(default=list, blank=True)
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.MEDIUM)
    not_before = models.DateTimeField()
    state = models.CharField(max_length=16, choices=MessageState, default=MessageState.QUEUED)

    attempt = models.PositiveIntegerField(default=0, help_text="Grants so far; guards late outcomes.")
    epoch = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="The limiter's epoch of the latest grant."
    )
    is_probe = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Its latest attempt tried if the platform works again.",
    )
    failures = models.PositiveSmallIntegerField(default=0, help_text="Attempts that count towards the cap.")
    slots = ArrayField(
        models.DateTimeField(), default=list, help_text="The limiter's stamp of every granted attempt."
    )
    # A message's stamps ascend, so its last one says whether any of them still counts in a window.
    newest_slot = models.GeneratedField(
        expression=models.Func(
            models.F("slots"), template="(%(expressions)s)[array_upper(%(expressions)s, 1)]"
        ),
        output_field=models.DateTimeField(null=True),
        db_persist=True,
    )
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    send_by = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    look_up_at = models.DateTimeField(
        null=True, blank=True, help_text="When to ask the platform about an unknown one."
    )
    sent_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    platform_id = models.CharField(max_length=128, blank=True, help_text="The platform's id of the message.")
    reason = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["outbox", "fan"], name="message_one_per_fan"),
            is_one_of("state", MessageState, table="message"),
            models.CheckConstraint(
                condition=Q(text__isnull=False) | Q(template__isnull=False), name="message_has_words"
            ),
            models.CheckConstraint(
                condition=~Q(state="sending")
                | Q(lease_expires_at__isnull=False, send_by__isnull=False, text__isnull=False),
                name="message_sending_has_a_lease",
            ),
            models.CheckConstraint(
                condition=Q(state="sent", sent_at__isnull=False)
                | (~Q(state="sent") & Q(sent_at__isnull=True)),
                name="message_sent_has_its_time",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["sent", "dead", "cancelled"], finished_at__isnull=False)
                | Q(state__in=["queued", "sending", "unknown"], finished_at__isnull=True),
                name="message_finished_has_its_time",
            ),
            models.CheckConstraint(
                condition=Q(price__isnull=True) | Q(price__gt=0), name="message_price_positive"
            ),
        ]
        indexes = [
            models.Index(
                fields=["account", "outbox", "priority", "not_before", "id"],
                condition=Q(state="queued"),
                name="message_queue",
            ),
            # Ascending, though lists are read backwards: new ids then fill its last page, unsplit.
            models.Index(fields=["tenant_id", "id"], name="message_by_tenant_and_id"),
            # Campaigns' messages are counted by their outboxes, single ones by this.
            models.Index(
                fields=["state", "finished_at"],
                condition=Q(outbox__isnull=True),
                name="message_single_by_end",
            ),
            models.Index(fields=["account", "id"], name="message_by_account_and_id"),
            models.Index(
                fields=["account", "newest_slot"],
                condition=Q(newest_slot__isnull=False),
                name="message_slots",
            ),
            models.Index(fields=["lease_expires_at"], condition=Q(state="sending"), name="message_leases"),
            models.Index(fields=["look_up_at"], condition=Q(state="unknown"), name="message_unknown"),
            models.Index(fields=["tenant_id", "id"], condition=Q(state="dead"), name="message_dead"),
        ]

    def __str__(self) -> str:
        return str(self.id)
