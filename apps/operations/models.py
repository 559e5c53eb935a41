from django.db import models
from django.db.models import Q

from apps.common.models import BaseModel, is_one_of


class JobState(models.TextChoices):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class JobRun(BaseModel):
    """One period of a scheduled job. Its uniqueness is what makes each period run once."""

    job = models.CharField(max_length=100)
    period_start = models.DateTimeField(help_text="The period's first instant.")
    state = models.CharField(max_length=16, choices=JobState, default=JobState.RUNNING)
    attempts = models.PositiveSmallIntegerField(default=1)
    lease_expires_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="After this, a run that is still “running” counts as dead and is taken over.",
    )
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["job", "period_start"], name="jobrun_once_a_period"),
            is_one_of("state", JobState, table="jobrun"),
            models.CheckConstraint(
                condition=Q(state=JobState.RUNNING, finished_at__isnull=True)
                | (~Q(state=JobState.RUNNING) & Q(finished_at__isnull=False)),
                name="jobrun_finished_has_its_time",
            ),
        ]
        indexes = [
            models.Index(fields=["lease_expires_at"], condition=Q(state="running"), name="jobrun_running")
        ]

    def __str__(self) -> str:
        return f"{self.job} {self.period_start:%Y-%m-%d %H:%M}"


class DeadLetterState(models.TextChoices):
    OPEN = "open"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


class DeadLetter(BaseModel):
    """A task that exhausted its retries. Replaying it is safe, because services guard by state."""

    task = models.CharField(max_length=200)
    task_id = models.CharField(max_length=64, unique=True)
    queue = models.CharField(max_length=64)
    args = models.JSONField(default=list)
    kwargs = models.JSONField(default=dict)
    error = models.TextField()
    traceback = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=16, choices=DeadLetterState, default=DeadLetterState.OPEN)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=254, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            is_one_of("state", DeadLetterState, table="deadletter"),
            models.CheckConstraint(
                condition=Q(state=DeadLetterState.OPEN, resolved_at__isnull=True)
                | (~Q(state=DeadLetterState.OPEN) & Q(resolved_at__isnull=False)),
                name="deadletter_resolved_has_its_time",
            ),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(state="open"), name="deadletter_open")]

    def __str__(self) -> str:
        return self.task


class RequestTally(models.Model):
    """How many requests of the API were answered in a minute, by all processes, and how many with a 5xx."""

    minute = models.DateTimeField(primary_key=True, help_text="Its first instant.")
    requests = models.PositiveIntegerField()
    failed = models.PositiveIntegerField()

    class Meta:
        ordering = ["-minute"]
        verbose_name_plural = "request tallies"
        constraints = [
            models.CheckConstraint(
                condition=Q(failed__lte=models.F("requests")), name="requesttally_failed_are_requests"
            )
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M}: {self.failed} of {self.requests} failed"
