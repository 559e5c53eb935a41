from django.db import models
from django.db.models import Q

from apps.common.models import TenantOwned, is_one_of


class Level(models.TextChoices):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Alert(TenantOwned):
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
    muted_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "rule", "subject", "period", "level"], name="alert_raised_once"
            ),
            is_one_of("level", Level, table="alert"),
        ]

    def __str__(self) -> str:
        return f"{self.rule} ({self.level})"


class Channel(models.TextChoices):
    EMAIL = "email", "e-mail"
    SLACK = "slack", "Slack"
    WEBHOOK = "webhook", "webhook"


class DeliveryState(models.TextChoices):
    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"


class Delivery(TenantOwned):
    """One alert on its way to one target. Inserted before sending, so that it is sent once."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=16, choices=Channel)
    target = models.CharField(max_length=500)
    state = models.CharField(max_length=16, choices=DeliveryState, default=DeliveryState.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
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
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(state__in=["pending", "sending"]), name="delivery_open")
        ]

    def __str__(self) -> str:
        return f"{self.channel} → {self.target}"
