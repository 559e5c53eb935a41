from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q

from apps.common.models import BaseModel, is_one_of
from apps.messaging.models.accounts import Platform


class Layer(models.TextChoices):
    """What a limit counts. A grant takes a slot of every layer that has a limit, or of none."""

    RECIPIENT = "recipient", "Recipient within an account"
    ACCOUNT = "account", "Account"
    USER = "user", "User"
    TENANT = "tenant", "Tenant"
    GLOBAL = "global", "Everything"


class SendLimit(BaseModel):
    """At most `count` messages in any window of `seconds`. An account's own limit stands in its row.

    Of recipients and accounts it is a platform's default, or everyone's; of users and tenants one subject's,
    or the default of all. The most specific one holds; a layer without any has no limit.
    """

    layer = models.CharField(max_length=16, choices=Layer)
    platform = models.CharField(
        max_length=16,
        choices=Platform,
        blank=True,
        help_text="For recipients and accounts; empty: on every platform.",
    )
    subject_id = models.UUIDField(
        null=True, blank=True, help_text="The user or tenant it is for; empty: each that has none of its own."
    )
    count = models.PositiveIntegerField(
        validators=[MinValueValidator(1)], help_text="At most so many messages…"
    )
    seconds = models.PositiveIntegerField(
        validators=[MinValueValidator(1)], help_text="…in any window of so many seconds."
    )
    min_gap_ms = models.PositiveIntegerField(
        default=0, help_text="At least so many milliseconds between two; 0: none."
    )

    class Meta:
        ordering = ["layer", "platform", "subject_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["layer", "platform", "subject_id"],
                name="sendlimit_unique",
                nulls_distinct=False,
                violation_error_message="There is such a limit already: change that one.",
            ),
            is_one_of("layer", Layer, table="sendlimit"),
            models.CheckConstraint(condition=Q(count__gt=0, seconds__gt=0), name="sendlimit_positive"),
            models.CheckConstraint(
                condition=Q(layer__in=["recipient", "account"]) | Q(platform=""),
                name="sendlimit_platform_where_it_counts",
                violation_error_message="Only limits of recipients and accounts differ by platform.",
            ),
            models.CheckConstraint(
                condition=Q(layer__in=["user", "tenant"]) | Q(subject_id__isnull=True),
                name="sendlimit_subject_where_it_counts",
                violation_error_message="Only limits of users and tenants have a subject.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.count} in {self.seconds} s ({self.get_layer_display()})"


class SendBlock(BaseModel):
    """A layer above the accounts that has no slot left: claims pass over all that it covers, until then."""

    layer = models.CharField(max_length=16, choices=Layer)
    subject_id = models.UUIDField(null=True)
    until = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["layer", "subject_id"], name="sendblock_unique", nulls_distinct=False
            ),
            is_one_of("layer", Layer, table="sendblock"),
        ]

    def __str__(self) -> str:
        return f"{self.layer} until {self.until:%H:%M:%S}"
