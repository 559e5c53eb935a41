"""What the dispatcher knows of itself: no tenant's rows, seen by the system role only."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.common.models import is_one_of
from apps.messaging.models.accounts import Platform


class Mode(models.TextChoices):
    REDIS = "redis", "Redis"
    POSTGRES = "postgres", "PostgreSQL"


class DispatchEpoch(models.Model):
    """One row: which of the limiter's logs may be believed. One of another epoch may lack stamps."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    number = models.PositiveBigIntegerField(default=1)
    mode = models.CharField(max_length=16, choices=Mode, default=Mode.REDIS)
    reason = models.CharField(max_length=200, blank=True)
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="dispatchepoch_one_row"),
            is_one_of("mode", Mode, table="dispatchepoch"),
        ]

    def __str__(self) -> str:
        return f"{self.number} ({self.get_mode_display()})"


class DispatchWorker(models.Model):
    """A dispatch worker's heartbeat, every second: whether it lives, and what it can reach."""

    id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=200)
    seen_at = models.DateTimeField()
    redis_at = models.DateTimeField(null=True, help_text="When it last reached Redis.")
    redis_since = models.DateTimeField(null=True, help_text="Since when it has reached Redis every time.")
    skew_low_us = models.BigIntegerField(
        null=True, help_text="Redis's clock is ahead of PostgreSQL's by at least so many microseconds…"
    )
    skew_high_us = models.BigIntegerField(null=True, help_text="…and at most so many.")
    holds = models.CharField(max_length=200, blank=True, help_text="Why it claims nothing; empty: it does.")

    class Meta:
        indexes = [models.Index(fields=["seen_at"], name="dispatchworker_seen")]

    def __str__(self) -> str:
        return self.name


class BreakerState(models.TextChoices):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open", "half-open"


class PlatformState(models.Model):
    """Whether a platform may be sent to: the operator's pause, and the breaker."""

    platform = models.CharField(max_length=16, choices=Platform, primary_key=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    pause_reason = models.CharField(max_length=200, blank=True)
    breaker = models.CharField(max_length=16, choices=BreakerState, default=BreakerState.CLOSED)
    failures = models.PositiveIntegerField(default=0, help_text="Failures since the last answer.")
    openings = models.PositiveIntegerField(default=0, help_text="How often it has opened since then.")
    open_until = models.DateTimeField(
        null=True, blank=True, help_text="No probe is sent before this, or while the last one is under way."
    )

    class Meta:
        constraints = [
            is_one_of("platform", Platform, table="platformstate"),
            is_one_of("breaker", BreakerState, table="platformstate"),
        ]

    def __str__(self) -> str:
        return self.get_platform_display()
