from datetime import datetime
from decimal import Decimal

from django.db import models
from django.db.models import DecimalField, Q
from django.db.models.expressions import RawSQL

from apps.ai.models.deployments import TaskKind
from apps.common.fields import CurrencyField, MoneyField
from apps.common.models import TenantOwned, is_one_of


class AnalysisState(models.TextChoices):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class AnalysisQuerySet(models.QuerySet["Analysis"]):
    def waiting(self, *, now: datetime) -> "AnalysisQuerySet":
        """Those that nobody works on: pending, or left by a process that died."""
        left = Q(state=AnalysisState.RUNNING, lease_expires_at__lte=now)
        return self.filter(Q(state=AnalysisState.PENDING) | left)


class Analysis(TenantOwned):
    """One look at what a tenant has asked, for what might be had for less."""

    state = models.CharField(max_length=16, choices=AnalysisState, default=AnalysisState.PENDING)
    requested_by = models.CharField(max_length=254, blank=True, help_text="Empty: the nightly one.")
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    since = models.DateTimeField(null=True, blank=True, help_text="The first question that was looked at.")
    generations = models.PositiveIntegerField(default=0, help_text="Questions that were looked at.")
    is_sample = models.BooleanField(
        default=False, help_text="There were more, and only the newest were read."
    )
    found = models.PositiveSmallIntegerField(default=0, help_text="Recommendations that hold.")
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    objects = AnalysisQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "analyses"
        constraints = [
            is_one_of("state", AnalysisState, table="analysis"),
            models.UniqueConstraint(
                fields=["tenant_id"], condition=Q(state__in=["pending", "running"]), name="analysis_one_open"
            ),
            models.CheckConstraint(
                condition=~Q(state=AnalysisState.RUNNING) | Q(lease_expires_at__isnull=False),
                name="analysis_running_has_a_lease",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "-id"], name="analysis_by_tenant"),
            models.Index(fields=["id"], condition=Q(state__in=["pending", "running"]), name="analysis_open"),
        ]

    def __str__(self) -> str:
        return f"Analysis {self.id}"


class RecommendationKind(models.TextChoices):
    REPEATED_PROMPTS = "repeated_prompts"
    CACHE_MISSES = "cache_misses"
    DEAR_MODEL = "dear_model", "dear model for simple work"
    LONG_CONTEXTS = "long_contexts"
    RETRIES = "retries"


class Status(models.TextChoices):
    """What has become of a recommendation."""

    OPEN = "open"
    VERIFYING = "verifying"
    VERIFIED = "verified"
    REJECTED = "rejected"
    APPLIED = "applied"
    REVERTED = "reverted"
    DISMISSED = "dismissed"
    OBSOLETE = "obsolete"


# There is one of these at most for what is recommended; others are its history.
CURRENT = (Status.OPEN, Status.VERIFYING, Status.VERIFIED, Status.APPLIED)


# By the ledger, so with what was corrected since. The column and the items have what it was when replays
# ended, which counts where entries are no longer kept.
_PAID = """
coalesce((
    SELECT sum(coalesce((
        SELECT sum(entry.amount)
        FROM ai_generation AS asked
        JOIN costs_ledgerentry AS entry
            ON entry.occurred_at = asked.created_at AND entry.generation_id = asked.id
        WHERE asked.id IN (item.generation_id, item.judge_id)
    ), item.cost))
    FROM ai_replay AS replay JOIN ai_replayitem AS item ON item.replay_id = replay.id
    WHERE replay.recommendation_id = ai_recommendation.id AND replay.finished_at IS NOT NULL
), ai_recommendation.verification_cost)
"""


class RecommendationQuerySet(models.QuerySet["Recommendation"]):
    def with_paid(self) -> "RecommendationQuerySet":
        """With what replays have cost, by the ledger as it is now."""
        money = DecimalField(max_digits=20, decimal_places=10)
        paid = RawSQL(_PAID, [], output_field=money)  # noqa: S611  # no data in it
        # `Recommendation` declares the name: django-stubs takes that for a clash.
        return self.annotate(paid=paid)  # type: ignore[no-redef]  # see above


class Recommendation(TenantOwned):
    """What a tenant might change, what that would save, and why one may believe it."""

    kind = models.CharField(max_length=32, choices=RecommendationKind)
    subject = models.CharField(max_length=200, help_text="What it is about, within its kind.")
    task_kind = models.CharField(max_length=32, choices=TaskKind, blank=True)
    advice = models.TextField(help_text="What to change, in words.")
    change = models.JSONField(
        null=True, blank=True, help_text="What applying it sets for the kind of task; empty: only people can."
    )
    monthly_saving = MoneyField(help_text="What it is expected to save in 30 days.")
    currency = CurrencyField()
    confidence = models.DecimalField(max_digits=3, decimal_places=2)
    reasons = models.JSONField(default=list, help_text="What the confidence comes from.")
    evidence = models.JSONField(default=dict, help_text="The figures, and generations to look at.")
    analysed_at = models.DateTimeField()

    status = models.CharField(max_length=16, choices=Status, default=Status.OPEN)
    remark = models.TextField(blank=True, help_text="Why its status is what it is.")
    quiet_until = models.DateTimeField(
        null=True, blank=True, help_text="It is not recommended again before that."
    )
    verification_cost = MoneyField(default=0, help_text="Of all its replays.")
    verified_at = models.DateTimeField(null=True, blank=True)

    applied_at = models.DateTimeField(null=True, blank=True)
    applied_by = models.CharField(max_length=254, blank=True)
    reverted_at = models.DateTimeField(null=True, blank=True)
    before = models.JSONField(null=True, blank=True, help_text="What applying it replaced.")
    after = models.JSONField(null=True, blank=True, help_text="What applying it set.")

    baseline_since = models.DateTimeField(
        null=True, blank=True, help_text="The first question of the 30 days before it was applied."
    )
    baseline_calls = models.PositiveIntegerField(
        null=True, blank=True, help_text="Questions of the kind in these days."
    )
    baseline_cost = MoneyField[str | Decimal | None, Decimal | None](null=True, blank=True)
    measured_at = models.DateTimeField(null=True, blank=True)
    measured_calls = models.PositiveIntegerField(
        null=True, blank=True, help_text="Questions of the kind since it was applied."
    )
    measured_cost = MoneyField[str | Decimal | None, Decimal | None](null=True, blank=True)
    measured_saving = MoneyField[str | Decimal | None, Decimal | None](
        null=True, blank=True, help_text="Empty: not enough calls yet."
    )
    predicted_saving = MoneyField[str | Decimal | None, Decimal | None](
        null=True, blank=True, help_text="What was expected of so many calls."
    )

    objects = RecommendationQuerySet.as_manager()
    # Of `with_paid`.
    paid: Decimal | None = None

    class Meta:
        ordering = ["-id"]
        constraints = [
            is_one_of("kind", RecommendationKind, table="recommendation"),
            is_one_of("status", Status, table="recommendation"),
            models.UniqueConstraint(
                fields=["tenant_id", "kind", "subject"],
                condition=Q(status__in=[str(each) for each in CURRENT]),
                name="recommendation_one_current",
            ),
            models.CheckConstraint(
                condition=Q(confidence__gte=0, confidence__lte=1), name="recommendation_confidence_is_a_share"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=[Status.APPLIED, Status.REVERTED])
                | Q(applied_at__isnull=False, before__isnull=False, after__isnull=False),
                name="recommendation_applied_knows_what",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "-id"], name="recommendation_by_tenant"),
            models.Index(fields=["id"], condition=Q(status="applied"), name="recommendation_applied"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.subject}"

    @property
    def cost_of_replays(self) -> Decimal:
        """By the ledger where it was asked, otherwise as it was when they ended."""
        return Decimal(self.verification_cost) if self.paid is None else self.paid

    @property
    def roi(self) -> Decimal | None:
        """Measured saving for each unit that verification has cost; None without either."""
        if self.measured_saving is None or not self.cost_of_replays:
            return None
        return (self.measured_saving / self.cost_of_replays).quantize(Decimal("0.01"))
