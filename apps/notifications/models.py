from datetime import datetime

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, validate_email
from django.db import models
from django.db.models import OuterRef, Q
from django.db.models.functions import Now
from django.db.models.lookups import IsNull
from django.db.models.query import RawQuerySet

from apps.common.fields import EncryptedTextField
from apps.common.models import BaseModel, is_one_of
from apps.common.text import validate_name
from apps.notifications.channels.http import url_problem

# In minutes: a day.
LONGEST_DIGEST = 1440


class Level(models.TextChoices):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Level).index(self)


class OwnedByTenantOrPlatform(BaseModel):
    """A tenant's row, or the platform's own: without a tenant only the system's door shows it."""

    tenant_id = models.UUIDField(
        null=True, blank=True, editable=False, help_text="The tenant that owns this row; empty: the platform."
    )

    class Meta:
        abstract = True


class AlertQuerySet(models.QuerySet["Alert"]):
    def with_mute(self, *, now: datetime) -> "AlertQuerySet":
        """With `mute_ends_at`: until when rule and subject are muted; None if they aren't at this time.

        A mute stands in the alert that was muted, and holds for all of its rule and subject.
        """
        platforms = Q(tenant_id=None) & IsNull(OuterRef("tenant_id"), True)
        mutes = Alert.objects.filter(
            Q(tenant_id=OuterRef("tenant_id")) | platforms,
            rule=OuterRef("rule"),
            subject=OuterRef("subject"),
            muted_until__gt=now,
        )
        return self.annotate(mute_ends_at=mutes.order_by("-muted_until").values("muted_until")[:1])


class Alert(OwnedByTenantOrPlatform):
    """Something a person should know: at most one row per rule, subject, period and level."""

    rule = models.CharField(max_length=64, help_text="Which rule raised it, such as daily_cost.")
    subject = models.CharField(
        max_length=128, blank=True, help_text="What it is about, such as an account's id."
    )
    period = models.CharField(
        max_length=32, blank=True, help_text="The period it covers, such as 2026-01-31."
    )
    level = models.CharField(max_length=16, choices=Level, default=Level.WARNING)
    message = models.TextField()
    data = models.JSONField(default=dict, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=254, blank=True, db_default="")
    muted_until = models.DateTimeField(
        null=True, blank=True, help_text="Until then nothing is sent of this rule and subject."
    )

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "rule", "subject", "period", "level"],
                name="alert_once",
                nulls_distinct=False,
            ),
            is_one_of("level", Level, table="alert"),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "-id"], name="alert_by_tenant"),
            models.Index(
                fields=["rule", "subject"], condition=Q(muted_until__isnull=False), name="alert_muted"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule} ({self.level})"


class Channel(models.TextChoices):
    EMAIL = "email", "e-mail"
    SLACK = "slack", "Slack"
    WEBHOOK = "webhook", "webhook"


class TargetQuerySet(models.QuerySet["NotificationTarget"]):
    def held(self) -> RawQuerySet["NotificationTarget"]:
        """These rows, which nobody deletes or renames before our transaction ends; other changes go on.

        PostgreSQL takes the same lock where a row points at one of them, but our keys are checked at the
        commit: one that was deleted by then takes all that was done with it. Django words no such lock.
        """
        statement, parameters = self.query.sql_with_params()
        return self.model._default_manager.raw(f"{statement} FOR KEY SHARE", parameters)


class NotificationTarget(OwnedByTenantOrPlatform):
    """Where somebody wants to hear of alerts. The platform's own hears of what is no tenant's."""

    channel = models.CharField(max_length=16, choices=Channel)
    name = models.CharField(
        max_length=100, validators=[validate_name], help_text="How people call it, such as #alerts."
    )
    address = models.CharField(
        "e-mail address", max_length=254, blank=True, help_text="For the channel e-mail."
    )
    url = EncryptedTextField(
        "URL", blank=True, default="", help_text="For Slack and webhooks; stored encrypted, never shown."
    )
    signing_key = EncryptedTextField(blank=True, default="", help_text="Stored encrypted, never shown.")
    minimum_level = models.CharField(max_length=16, choices=Level, default=Level.WARNING)
    muted_rules = ArrayField(
        models.CharField(max_length=64), default=list, blank=True, help_text="Rules that it isn't told of."
    )
    digest_minutes = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(LONGEST_DIGEST)],
        help_text="Collect alerts for so long into one message; critical ones don't wait. 0: each at once.",
    )
    is_active = models.BooleanField(default=True)

    objects = TargetQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "channel", "name"],
                name="target_unique",
                nulls_distinct=False,
                violation_error_message="There is a target of this channel and name already.",
            ),
            is_one_of("channel", Channel, table="target"),
            is_one_of("minimum_level", Level, table="target"),
            models.CheckConstraint(
                condition=Q(channel=Channel.EMAIL) & ~Q(address="")
                | ~Q(channel=Channel.EMAIL) & Q(address=""),
                name="target_has_its_address",
                violation_error_message="E-mail needs an address, and nothing else has one.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.get_channel_display()})"

    @property
    def known_as(self) -> str:
        """What deliveries call it: no secret, and one e-mail per address whatever it is called."""
        return self.address if self.channel == Channel.EMAIL else self.name

    def clean(self) -> None:
        if self.channel == Channel.EMAIL:
            try:
                validate_email(self.address)
            except ValidationError as error:
                raise ValidationError({"address": error.messages}) from None
        elif self.channel and (problem := url_problem(self.url)):
            raise ValidationError({"url": problem})


class DeliveryState(models.TextChoices):
    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    MUTED = "muted"


class Delivery(OwnedByTenantOrPlatform):
    """One alert on its way to one target. Inserted before sending, so that it is sent once."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    destination = models.ForeignKey(
        NotificationTarget,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="deliveries",
        help_text="Empty: one that the environment names.",
    )
    channel = models.CharField(max_length=16, choices=Channel)
    target = models.CharField(max_length=500)
    state = models.CharField(max_length=16, choices=DeliveryState, default=DeliveryState.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    interruptions = models.PositiveSmallIntegerField(
        default=0, db_default=0, help_text="How often it may have arrived without our knowing."
    )
    envelope_id = models.UUIDField(
        null=True,
        blank=True,
        editable=False,
        help_text="The message that it goes in, the same at each try: its Message-ID or webhook-id.",
    )
    due_at = models.DateTimeField(db_default=Now(), help_text="Not before this is it sent, or tried again.")
    give_up_at = models.DateTimeField(null=True, blank=True, help_text="After this it isn't tried again.")
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["alert", "channel", "target"], name="delivery_unique"),
            is_one_of("channel", Channel, table="delivery"),
            is_one_of("state", DeliveryState, table="delivery"),
            models.CheckConstraint(
                condition=Q(state=DeliveryState.SENT, sent_at__isnull=False)
                | (~Q(state=DeliveryState.SENT) & Q(sent_at__isnull=True)),
                name="delivery_sent_has_its_time",
            ),
            models.CheckConstraint(
                condition=~Q(state=DeliveryState.SENDING)
                | Q(lease_expires_at__isnull=False, envelope_id__isnull=False),
                name="delivery_sending_has_a_lease",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(state__in=["pending", "sending"]), name="delivery_open")
        ]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} → {self.target}"
