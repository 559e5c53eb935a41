from datetime import timedelta

from django.db import models
from django.db.models import Q

from apps.common.breaker.rules import State
from apps.common.models import BaseModel, is_one_of


class Provider(models.TextChoices):
    OPENAI = "openai", "OpenAI"
    AZURE = "azure", "Azure OpenAI"


class ModelClass(models.TextChoices):
    """How capable, and how dear, a model is."""

    ADVANCED = "advanced", "advanced (GPT-4 class)"
    STANDARD = "standard", "standard (GPT-3.5 class)"
    EMBEDDING = "embedding"


class TaskKind(models.TextChoices):
    PLANNING = "planning"
    MULTI_PLATFORM = "multi_platform", "multi-platform"
    MESSAGE = "message"
    QUICK_REPLY = "quick_reply", "quick reply"
    IDEA = "idea"
    CAPTION = "caption"
    EMBEDDING = "embedding"
    REPLAY = "replay"


class Deployment(BaseModel):
    """A model at a provider that calls may be routed to. Keys and endpoints come from the environment."""

    name = models.SlugField(max_length=64, unique=True)
    provider = models.CharField(max_length=16, choices=Provider)
    model = models.CharField(max_length=100, help_text="The model's own name, by which it is priced.")
    azure_deployment = models.CharField(
        max_length=100,
        blank=True,
        help_text="Azure's name for the deployment, where it differs from the model's.",
    )
    model_class = models.CharField(max_length=16, choices=ModelClass)
    weight = models.PositiveSmallIntegerField(
        default=100, help_text="Share of the calls among equals; 0: only as a fallback."
    )
    enabled = models.BooleanField(default=True)
    disabled_reason = models.CharField(
        max_length=300, blank=True, db_default="", help_text="Why it was disabled, if that was not done here."
    )
    attempt_timeout = models.DurationField(default=timedelta(seconds=60))
    context_tokens = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="How many tokens question and answer may have together; empty: not known.",
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            is_one_of("provider", Provider, table="deployment"),
            is_one_of("model_class", ModelClass, table="deployment"),
            models.CheckConstraint(
                condition=Q(attempt_timeout__gt=timedelta(0)), name="deployment_timeout_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class BreakerState(models.TextChoices):
    """The states of apps/common/breaker, as choices of a column."""

    CLOSED = State.CLOSED.value
    OPEN = State.OPEN.value
    HALF_OPEN = State.HALF_OPEN.value, "half-open"


class BreakerChange(BaseModel):
    """A deployment's breaker went from one state to another, or an operator holds it from now on.

    The system's alone: tenants share the deployments, but not what became of their calls.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="breaker_changes")
    before = models.CharField(max_length=16, choices=BreakerState)
    after = models.CharField(max_length=16, choices=BreakerState)
    reason = models.TextField()
    by = models.UUIDField(null=True, blank=True, help_text="The operator; empty: the breaker itself.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            is_one_of("before", BreakerState, table="breaker_change"),
            is_one_of("after", BreakerState, table="breaker_change"),
        ]
        indexes = [models.Index(fields=["deployment", "-id"], name="breaker_change_by_deployment")]

    def __str__(self) -> str:
        return f"{self.get_before_display()} → {self.get_after_display()}"
