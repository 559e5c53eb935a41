from django.db import models
from django.db.models import Q

from apps.ai.models import Generation
from apps.common.models import TenantOwned, is_one_of
from apps.messaging.models import Account, Fan


class ContentKind(models.TextChoices):
    MESSAGE = "message"
    CAPTION = "caption"
    IDEA = "idea"
    HASHTAGS = "hashtags"


class ContentState(models.TextChoices):
    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class Content(TenantOwned):
    """Words written for an account, or for one of its fans."""

    kind = models.CharField(max_length=16, choices=ContentKind)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="contents")
    fan = models.ForeignKey(
        Fan,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="contents",
        help_text="Empty: for all of them.",
    )
    campaign_id = models.UUIDField(null=True, blank=True)
    generation = models.ForeignKey(
        Generation, on_delete=models.PROTECT, null=True, blank=True, related_name="contents"
    )
    state = models.CharField(max_length=16, choices=ContentState, default=ContentState.PENDING)
    text = models.TextField(blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["campaign_id", "account"],
                condition=Q(campaign_id__isnull=False, kind="message", fan__isnull=True),
                name="content_one_template_per_account",
            ),
            models.UniqueConstraint(
                fields=["campaign_id", "fan"],
                condition=Q(campaign_id__isnull=False, kind="message", fan__isnull=False),
                name="content_one_message_per_fan",
            ),
            is_one_of("kind", ContentKind, table="content"),
            is_one_of("state", ContentState, table="content"),
            models.CheckConstraint(condition=~Q(state="ready") | ~Q(text=""), name="content_ready_has_words"),
        ]
        indexes = [models.Index(fields=["campaign_id", "state"], name="content_by_campaign")]

    def __str__(self) -> str:
        return self.text[:80] or f"{self.kind} ({self.state})"
