from datetime import timedelta

from django.db import models
from django.db.models import F, Q

from apps.ai.models.deployments import Deployment, TaskKind
from apps.common.models import TenantOwned, is_one_of


class TenantPreference(models.TextChoices):
    """What a tenant would rather have, where a task could go to several models."""

    QUALITY = "quality", "quality: the advanced models first"
    BALANCED = "balanced", "balanced: the model that fits the task"
    CHEAPEST = "cheapest", "cheapest: the cheapest models first"


class RoutingPreference(TenantOwned):
    """What a tenant prefers; without a row it is balanced."""

    tenant_id = models.UUIDField()
    preference = models.CharField(max_length=16, choices=TenantPreference, default=TenantPreference.BALANCED)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id"],
                name="routingpreference_one_per_tenant",
                violation_error_message="This tenant has a preference: change that one.",
            ),
            is_one_of("preference", TenantPreference, table="routingpreference"),
        ]

    def __str__(self) -> str:
        return self.preference


class TaskPreference(TenantOwned):
    """What a tenant has set for one kind of task: who is asked first, and for how long answers are kept.

    What is empty is as for every tenant.
    """

    tenant_id = models.UUIDField()
    task_kind = models.CharField(max_length=32, choices=TaskKind)
    deployment = models.ForeignKey(
        Deployment,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="It is asked first, unless little is left of a budget; empty: as routing has it.",
    )
    fresh = models.DurationField(
        null=True, blank=True, help_text="For how long an answer is given instead of a new one."
    )
    stale = models.DurationField(
        null=True, blank=True, help_text="For how long optional work gets it that nobody can do now."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "task_kind"],
                name="taskpreference_one_per_kind",
                violation_error_message="This tenant has a row for this kind of task: change that one.",
            ),
            is_one_of("task_kind", TaskKind, table="taskpreference"),
            models.CheckConstraint(
                condition=Q(fresh__isnull=True, stale__isnull=True)
                | Q(fresh__isnull=False, stale__isnull=False, fresh__gte=timedelta(), stale__gte=F("fresh")),
                name="taskpreference_fresh_before_stale",
                violation_error_message="Give both times or none; fresh lies between nothing and stale.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_task_kind_display()}"
