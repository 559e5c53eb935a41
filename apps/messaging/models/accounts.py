from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from apps.common.fields import EncryptedTextField, MoneyField
from apps.common.models import TenantOwned, is_one_of
from apps.tenants.models import validate_time_zone


class Platform(models.TextChoices):
    ONLYFANS = "onlyfans", "OnlyFans"
    INSTAGRAM = "instagram", "Instagram"
    TIKTOK = "tiktok", "TikTok"


class QuietZone(models.TextChoices):
    """On whose wall the clock hangs that quiet hours go by."""

    ACCOUNT = "account", "The account's"
    FAN = "fan", "Each fan's, or the account's where that isn't known"


class Account(TenantOwned):
    """A creator's account on a platform. A platform's account belongs to one tenant: its limit is one."""

    platform = models.CharField(max_length=16, choices=Platform, default=Platform.ONLYFANS)
    external_id = models.CharField(max_length=128, help_text="The platform's own id.")
    name = models.CharField(max_length=200)
    credential = EncryptedTextField(
        help_text="The platform's token for this account; stored encrypted, never shown."
    )
    limit_count = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="At most so many messages… (empty: the platform's default)",
    )
    limit_seconds = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="…in any window of so many seconds.",
    )
    min_gap_ms = models.PositiveIntegerField(
        "minimum gap",
        default=0,
        db_default=0,
        help_text="At least so many milliseconds between two messages; 0: none.",
    )
    fan_gap_seconds = models.PositiveIntegerField(
        "gap per fan",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="At least so many seconds between two messages of campaigns to the same fan.",
    )
    fan_cap_count = models.PositiveIntegerField(
        "cap per fan",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="At most so many messages of campaigns to the same fan…",
    )
    fan_cap_seconds = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="…in any window of so many seconds.",
    )
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    quiet_start = models.TimeField(null=True, blank=True, help_text="Nothing is sent from here…")
    quiet_end = models.TimeField(null=True, blank=True, help_text="…to here.")
    quiet_zone = models.CharField(
        max_length=8,
        choices=QuietZone,
        default=QuietZone.ACCOUNT,
        db_default=QuietZone.ACCOUNT,
        help_text="Whose clock they go by.",
    )
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
    claims = models.PositiveBigIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="How many claims have granted it something; the limiter's log of it knows of as many.",
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
            is_one_of("quiet_zone", QuietZone, table="account"),
            models.CheckConstraint(
                condition=Q(limit_count__isnull=True, limit_seconds__isnull=True)
                | Q(limit_count__isnull=False, limit_seconds__isnull=False)
                & Q(limit_count__gt=0, limit_seconds__gt=0),
                name="account_limit_positive",
                violation_error_message="A limit needs both numbers, of at least 1, or neither.",
            ),
            models.CheckConstraint(
                condition=Q(fan_cap_count__isnull=True, fan_cap_seconds__isnull=True)
                | Q(fan_cap_count__isnull=False, fan_cap_seconds__isnull=False)
                & Q(fan_cap_count__gt=0, fan_cap_seconds__gt=0),
                name="account_fan_cap_positive",
                violation_error_message="A cap needs both numbers, of at least 1, or neither.",
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
                fields=["tenant_id", "next_due"],
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
    time_zone = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        validators=[validate_time_zone],
        help_text="Empty: unknown, taken to be the account's.",
    )
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
