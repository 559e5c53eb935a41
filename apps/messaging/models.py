from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from apps.common.fields import EncryptedTextField, MoneyField
from apps.common.models import TenantOwned, is_one_of
from apps.common.priority import Priority
from apps.tenants.models import validate_time_zone


class Platform(models.TextChoices):
    ONLYFANS = "onlyfans", "OnlyFans"
    INSTAGRAM = "instagram", "Instagram"
    TIKTOK = "tiktok", "TikTok"


class Account(TenantOwned):
    """A creator's account on a platform. A platform's account belongs to one tenant: its limit is one."""

    platform = models.CharField(max_length=16, choices=Platform, default=Platform.ONLYFANS)
    external_id = models.CharField(max_length=128, help_text="The platform's own id.")
    name = models.CharField(max_length=200)
    credential = EncryptedTextField(
        help_text="The platform's token for this account; stored encrypted, never shown."
    )
    limit_count = models.PositiveIntegerField(
        default=10, validators=[MinValueValidator(1)], help_text="At most so many messages…"
    )
    limit_seconds = models.PositiveIntegerField(
        default=60, validators=[MinValueValidator(1)], help_text="…in any window of so many seconds."
    )
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    quiet_start = models.TimeField(null=True, blank=True, help_text="Nothing is sent from here…")
    quiet_end = models.TimeField(null=True, blank=True, help_text="…to here, in the account's time zone.")
    paused_at = models.DateTimeField(null=True, blank=True)
    pause_reason = models.CharField(max_length=200, blank=True)
    next_due = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When to look at its queue again; empty: nothing to do.",
    )
    blocked_until = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="The platform, or quiet hours, allow nothing before this.",
    )

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["platform", "external_id"],
                name="account_unique",
                violation_error_message="This account of the platform is already connected.",
            ),
            is_one_of("platform", Platform, table="account"),
            models.CheckConstraint(
                condition=Q(limit_count__gt=0, limit_seconds__gt=0), name="account_limit_positive"
            ),
            models.CheckConstraint(
                condition=Q(quiet_start__isnull=True, quiet_end__isnull=True)
                | Q(quiet_start__isnull=False, quiet_end__isnull=False),
                name="account_quiet_hours_whole",
            ),
            models.CheckConstraint(
                condition=Q(next_due__isnull=True)
                | Q(blocked_until__isnull=True)
                | Q(next_due__gte=models.F("blocked_until")),
                name="account_due_after_block",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "id"], name="account_by_tenant"),
            models.Index(
                fields=["next_due"],
                condition=Q(next_due__isnull=False, paused_at__isnull=True),
                name="account_due",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Fan(TenantOwned):
    """A person who follows an account."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="fans")
    external_id = models.CharField(max_length=128, help_text="The platform's own id.")
    name = models.CharField(max_length=200, blank=True)
    attributes = models.JSONField(default=dict, blank=True)
    spend = MoneyField(default=0)
    last_purchase_at = models.DateTimeField(null=True, blank=True)
    consent = models.BooleanField(default=True, help_text="Without it the fan is written to by nobody.")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "external_id"],
                name="fan_unique",
                violation_error_message="This account has a fan with this external_id.",
            ),
            models.CheckConstraint(condition=Q(spend__gte=0), name="fan_spend_not_negative"),
        ]
        indexes = [models.Index(fields=["account", "id"], name="fan_by_account")]

    def __str__(self) -> str:
        return self.name or self.external_id


class Outbox(TenantOwned):
    """One campaign's set of messages. Pausing or cancelling it is a change of this one row."""

    campaign_id = models.UUIDField(null=True, unique=True)
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.MEDIUM)
    paused_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    queued = models.PositiveIntegerField(default=0)
    sending = models.PositiveIntegerField(default=0)
    sent = models.PositiveIntegerField(default=0)
    unknown = models.PositiveIntegerField(default=0)
    dead = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "outboxes"
        ordering = ["-id"]

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
    price = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    media = models.JSONField(default=list, blank=True)
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.MEDIUM)
    not_before = models.DateTimeField()
    state = models.CharField(max_length=16, choices=MessageState, default=MessageState.QUEUED)

    attempt = models.PositiveIntegerField(default=0, help_text="Grants so far; guards late outcomes.")
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
            models.Index(fields=["tenant_id", "-id"], name="message_by_tenant"),
            # Campaigns' messages are counted by their outboxes, single ones by this.
            models.Index(fields=["state"], condition=Q(outbox__isnull=True), name="message_single"),
            models.Index(fields=["account", "-id"], name="message_by_account"),
            models.Index(
                fields=["account", "newest_slot"],
                condition=Q(newest_slot__isnull=False),
                name="message_slots",
            ),
            models.Index(fields=["lease_expires_at"], condition=Q(state="sending"), name="message_leases"),
            models.Index(fields=["look_up_at"], condition=Q(state="unknown"), name="message_unknown"),
        ]

    def __str__(self) -> str:
        return str(self.id)
