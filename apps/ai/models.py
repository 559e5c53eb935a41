from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from apps.ai.answers import schema_problem
from apps.common import liquid
from apps.common.breaker.rules import State
from apps.common.fields import CurrencyField, MoneyField
from apps.common.models import BaseModel, TenantOwned, is_one_of
from apps.common.priority import Priority


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


class PromptTemplate(BaseModel):
    """One version of a prompt, in Liquid. A version is never changed: a new one is made and activated."""

    key = models.SlugField(max_length=64)
    version = models.PositiveIntegerField()
    task_kind = models.CharField(max_length=32, choices=TaskKind)
    system = models.TextField(blank=True)
    body = models.TextField(help_text="The user's message; variables as {{ name }}.")
    output_schema = models.JSONField(
        null=True, blank=True, help_text="JSON schema of the answer; empty for plain text."
    )
    fallback = models.TextField(
        blank=True,
        db_default="",
        help_text="What optional work gets while nobody can answer, with the same variables; empty: an "
        "error. With a schema, JSON that fits it.",
    )
    max_tokens = models.PositiveIntegerField(default=500)
    is_active = models.BooleanField(default=False)

    class Meta:
        ordering = ["key", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["key", "version"], name="prompt_version_unique"),
            models.UniqueConstraint(fields=["key"], condition=Q(is_active=True), name="prompt_one_active"),
            is_one_of("task_kind", TaskKind, table="prompt"),
        ]

    def __str__(self) -> str:
        return f"{self.key} v{self.version}"

    def clean(self) -> None:
        wrong = self.template_problems()
        if self.output_schema is not None and (problem := schema_problem(self.output_schema)):
            wrong["output_schema"] = [f"This is no JSON schema: {problem}"]
        if wrong:
            raise ValidationError(wrong)

    def template_problems(self) -> dict[str, list[str]]:
        """What is wrong with its templates whatever the variables are, by field; empty if nothing is."""
        templates = {"system": self.system, "body": self.body, "fallback": self.fallback}
        found = {field: liquid.problems(template) for field, template in templates.items()}
        return {field: problems for field, problems in found.items() if problems}


class GenerationState(models.TextChoices):
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Source(models.TextChoices):
    """Where an answer came from."""

    PROVIDER = "provider"
    CACHE = "cache"
    STALE = "stale"
    TEMPLATE = "template"


class GenerationQuerySet(models.QuerySet["Generation"]):
    def waiting(self, *, now: datetime) -> "GenerationQuerySet":
        """Those that nobody works on: pending, or left by a process that died."""
        abandoned = Q(state=GenerationState.RUNNING, lease_expires_at__lte=now)
        return self.filter(Q(state=GenerationState.PENDING) | abandoned)


class Generation(TenantOwned):
    """One question to the AI and its answer: the unit of work of the queue `ai`."""

    task_kind = models.CharField(max_length=32, choices=TaskKind)
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.MEDIUM)
    # The key has no index of its own: generation_by_prompt begins with it.
    prompt = models.ForeignKey(PromptTemplate, on_delete=models.PROTECT, related_name="+", db_index=False)
    variables = models.JSONField(default=dict)
    max_tokens = models.PositiveIntegerField()
    fresh = models.BooleanField(
        db_default=False, help_text="Neither the cache nor an identical call may answer it."
    )
    account_id = models.UUIDField(null=True, blank=True)
    campaign_id = models.UUIDField(null=True, blank=True)
    user_id = models.UUIDField(null=True, blank=True)

    state = models.CharField(max_length=16, choices=GenerationState, default=GenerationState.PENDING)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Calls made to providers.")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    explain = models.JSONField(default=list, help_text="Why each deployment was chosen or passed over.")
    source = models.CharField(max_length=16, choices=Source, blank=True)
    # The key has no index of its own: generation_last_success begins with it.
    deployment = models.ForeignKey(
        Deployment, on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    model = models.CharField(max_length=100, blank=True)
    text = models.TextField(blank=True)
    data = models.JSONField(null=True, blank=True)
    input_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    cost = MoneyField(default=0, help_text="Of all attempts.")
    currency = CurrencyField()
    latency = models.DurationField(null=True, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True)
    joined_id = models.UUIDField(
        null=True, blank=True, help_text="The generation whose call answered this one too."
    )
    age = models.DurationField(null=True, blank=True, help_text="How old the answer was when it was given.")

    objects = GenerationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            is_one_of("task_kind", TaskKind, table="generation"),
            is_one_of("state", GenerationState, table="generation"),
            models.CheckConstraint(
                condition=~Q(state=GenerationState.RUNNING) | Q(lease_expires_at__isnull=False),
                name="generation_running_has_a_lease",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["succeeded", "failed"], finished_at__isnull=False)
                | Q(state__in=["pending", "running"], finished_at__isnull=True),
                name="generation_finished_has_its_time",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "-id"], name="generation_by_tenant"),
            models.Index(
                fields=["campaign_id", "-id"],
                condition=Q(campaign_id__isnull=False),
                name="generation_by_campaign",
            ),
            models.Index(fields=["-id"], condition=Q(state="failed"), name="generation_failed"),
            models.Index(
                fields=["priority", "id"],
                condition=Q(state__in=["pending", "running"]),
                name="generation_open",
            ),
            models.Index(fields=["prompt", "-id"], name="generation_by_prompt"),
            models.Index(
                fields=["joined_id", "-id"],
                condition=Q(joined_id__isnull=False),
                name="generation_by_joined",
            ),
            models.Index(
                "deployment",
                F("finished_at").desc(),
                condition=Q(state="succeeded", source="provider"),
                name="generation_last_success",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_task_kind_display()} {self.id}"


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
