from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Case, F, OuterRef, Q, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce

from apps.ai.answers import schema_problem
from apps.ai.models.deployments import Deployment, TaskKind
from apps.common import liquid
from apps.common.fields import CountField, CurrencyField, MoneyField, SmallCountField
from apps.common.models import BaseModel, TenantOwned, is_one_of
from apps.common.priority import Priority
from apps.costs.models import LedgerEntry


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


_OPEN = (GenerationState.PENDING, GenerationState.RUNNING)


class Source(models.TextChoices):
    """Where an answer came from."""

    PROVIDER = "provider"
    CACHE = "cache"
    STALE = "stale"
    TEMPLATE = "template"


class GenerationQuerySet(models.QuerySet["Generation"]):
    def due(self, *, now: datetime) -> "GenerationQuerySet":
        """Those that somebody may begin on: left by a process that died, or pending without a wait."""
        is_free = Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lte=now)
        return self.filter(is_free, state__in=_OPEN)

    def with_paid(self) -> "GenerationQuerySet":
        """With what they have cost by the ledger as it is now, or did at their end if it has no entries."""
        entries = LedgerEntry.objects.filter(
            occurred_at=OuterRef("created_at"), generation_id=OuterRef("pk")
        ).values("generation_id")
        paid = Coalesce(Subquery(entries.values(sum=Sum("amount"))), F("cost"))
        # `Generation` declares the name: django-stubs takes that for a clash.
        return self.annotate(paid=paid)  # type: ignore[no-redef]  # see above

    def cancel(self, *, code: str, message: str, now: datetime) -> int:
        """End those that nobody works on; what is under way may be answered, but isn't asked anew.

        In one statement, since meanwhile a row may be claimed, or put back. Returns how many.
        """
        is_pending = Q(state=GenerationState.PENDING)
        return self.filter(state__in=_OPEN).update(
            state=Case(When(is_pending, then=Value(GenerationState.FAILED)), default=F("state")),
            lease_expires_at=Case(When(is_pending, then=None), default=F("lease_expires_at")),
            finished_at=Case(When(is_pending, then=now), default=None),
            error_code=code,
            error=message,
        )


class Generation(TenantOwned):
    """One question to the AI and its answer: the unit of work of the queue `ai`."""

    task_kind = models.CharField(max_length=32, choices=TaskKind)
    priority = SmallCountField(choices=Priority, default=Priority.MEDIUM)
    # The key has no index of its own: generation_by_prompt begins with it.
    prompt = models.ForeignKey(PromptTemplate, on_delete=models.PROTECT, related_name="+", db_index=False)
    variables = models.JSONField(default=dict)
    max_tokens = CountField()
    fresh = models.BooleanField(
        db_default=False, help_text="Neither the cache nor an identical call may answer it."
    )
    pinned_id = models.UUIDField(
        null=True, blank=True, help_text="The one deployment that is asked: a replay of another question."
    )
    account_id = models.UUIDField(null=True, blank=True)
    campaign_id = models.UUIDField(null=True, blank=True)
    user_id = models.UUIDField(null=True, blank=True)

    state = models.CharField(max_length=16, choices=GenerationState, default=GenerationState.PENDING)
    # Of a pending one: until then it waits for a deployment to recover.
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    attempts = SmallCountField(default=0, help_text="Calls made to providers.")
    lost_attempts = SmallCountField(
        db_default=0, help_text="Those of processes that died; a whole run followed."
    )
    abandonments = SmallCountField(db_default=0, help_text="How often a process died over it, or failed.")
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
    input_tokens = CountField(default=0)
    cached_tokens = CountField(default=0)
    output_tokens = CountField(default=0)
    # As it was at the end: of later corrections the ledger alone knows, and `with_paid`.
    cost = MoneyField(default=0, help_text="Of all attempts.")
    currency = CurrencyField()
    latency = models.DurationField(null=True, blank=True)
    # Of a running one: why it isn't asked anew.
    error_code = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True)
    joined_id = models.UUIDField(
        null=True, blank=True, help_text="The generation whose call answered this one too."
    )
    age = models.DurationField(null=True, blank=True, help_text="How old the answer was when it was given.")

    objects = GenerationQuerySet.as_manager()
    # Of `with_paid`.
    paid: Decimal | None = None

    class Meta:
        ordering = ["-id"]
        constraints = [
            is_one_of("task_kind", TaskKind, table="generation"),
            models.CheckConstraint(
                condition=~Q(state=GenerationState.RUNNING) | Q(lease_expires_at__isnull=False),
                name="generation_running_has_a_lease",
            ),
            # And that its state is one of these.
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

    @property
    def cost_by_now(self) -> Decimal:
        """With what was corrected since where the ledger was asked, otherwise as it was at the end."""
        return Decimal(self.cost) if self.paid is None else self.paid
