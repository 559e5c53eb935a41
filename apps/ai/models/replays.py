from decimal import Decimal

from django.db import models
from django.db.models import Q

from apps.ai.models.deployments import Deployment
from apps.ai.models.optimisation import Recommendation
from apps.common.fields import CurrencyField, MoneyField
from apps.common.models import TenantOwned, is_one_of


class ReplayState(models.TextChoices):
    RUNNING = "running"
    JUDGING = "judging"
    DONE = "done"
    FAILED = "failed"


class Replay(TenantOwned):
    """Past questions, asked again of a cheaper deployment, to see whether its answers would have done."""

    recommendation = models.ForeignKey(Recommendation, on_delete=models.CASCADE, related_name="replays")
    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(max_length=16, choices=ReplayState, default=ReplayState.RUNNING)
    requested_by = models.CharField(max_length=254, blank=True)
    judged = models.BooleanField(help_text="An advanced model compares the answers.")
    threshold = models.DecimalField(
        max_digits=3, decimal_places=2, help_text="The lower bound of the score has to reach it."
    )
    max_cost = MoneyField(help_text="Beyond it what isn't asked yet is not asked any more.")
    cost = MoneyField(default=0)
    currency = CurrencyField()
    score = models.DecimalField(max_digits=5, decimal_places=4, null=True, blank=True)
    lower = models.DecimalField(max_digits=5, decimal_places=4, null=True, blank=True)
    upper = models.DecimalField(max_digits=5, decimal_places=4, null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            is_one_of("state", ReplayState, table="replay"),
            models.UniqueConstraint(
                fields=["recommendation"],
                condition=Q(state__in=["running", "judging"]),
                name="replay_one_open",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["running", "judging"], finished_at__isnull=True)
                | Q(state__in=["done", "failed"], finished_at__isnull=False),
                name="replay_finished_has_its_time",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(state__in=["running", "judging"]), name="replay_open")
        ]

    def __str__(self) -> str:
        return f"Replay {self.id}"


class ItemState(models.TextChoices):
    RUNNING = "running"
    JUDGING = "judging"
    DONE = "done"
    FAILED = "failed"


class ReplayItem(TenantOwned):
    """One question of a replay. `generation_id` asks it again, `judge_id` has both answers compared."""

    replay = models.ForeignKey(Replay, on_delete=models.CASCADE, related_name="items")
    original_id = models.UUIDField(help_text="The generation that is asked again.")
    generation_id = models.UUIDField()
    judge_id = models.UUIDField(null=True, blank=True)
    state = models.CharField(max_length=16, choices=ItemState, default=ItemState.RUNNING)
    scores = models.JSONField(default=dict, help_text="What the score is made of.")
    score = models.DecimalField[str | Decimal | None, Decimal | None](
        max_digits=5, decimal_places=4, null=True, blank=True
    )
    original_cost = MoneyField(default=0)
    cost = MoneyField(default=0, help_text="Of asking again, and of judging.")
    currency = CurrencyField()
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            is_one_of("state", ItemState, table="replayitem"),
            models.UniqueConstraint(fields=["replay", "original_id"], name="replayitem_unique"),
        ]

    def __str__(self) -> str:
        return f"Replay of {self.original_id}"
