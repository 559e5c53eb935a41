from uuid import UUID

from django.db import models
from django.db.models import Q

from apps.ai.models import Generation
from apps.common.models import TenantOwned, is_one_of
from apps.common.priority import Priority
from apps.messaging.models import Account, Outbox


class CampaignType(models.TextChoices):
    MASS_MESSAGE = "mass_message", "mass message"
    WELCOME = "welcome"
    EXPIRING = "expiring"
    WINBACK = "winback"
    PPV = "ppv", "pay per view"


class Personalisation(models.TextChoices):
    TEMPLATE = "template", "one text with variables per account"
    PER_FAN = "per_fan", "a text of its own for every fan"


class Approval(models.TextChoices):
    MANUAL = "manual"
    AUTOMATIC = "automatic"


class CampaignStatus(models.TextChoices):
    PLANNING = "planning"
    PERSONALISING = "personalising"
    AWAITING_APPROVAL = "awaiting_approval", "awaiting approval"
    DISPATCHING = "dispatching"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Campaign(TenantOwned):
    """A set of messages that is planned and written by AI, approved, and sent under the limits."""

    name = models.CharField(max_length=200)
    type = models.CharField(max_length=16, choices=CampaignType)
    brief = models.TextField(help_text="What the campaign is about, in the words of whoever asks for it.")
    tone = models.CharField(max_length=100, blank=True)
    accounts = models.ManyToManyField(Account, through="CampaignAccount", related_name="campaigns")
    segment = models.JSONField(default=dict, blank=True, help_text="Which fans: {include: {}, exclude: {}}.")
    price = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    personalisation = models.CharField(
        max_length=16, choices=Personalisation, default=Personalisation.TEMPLATE
    )
    approval = models.CharField(max_length=16, choices=Approval, default=Approval.MANUAL)
    not_before = models.DateTimeField(null=True, blank=True)
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.MEDIUM)

    status = models.CharField(max_length=20, choices=CampaignStatus, default=CampaignStatus.PLANNING)
    outbox = models.OneToOneField(Outbox, on_delete=models.PROTECT, related_name="campaign")
    plan_generation = models.ForeignKey(
        Generation, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    plan = models.JSONField(null=True, blank=True)
    approved_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True, help_text="Why it was rejected, cancelled or failed.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            is_one_of("type", CampaignType, table="campaign"),
            is_one_of("personalisation", Personalisation, table="campaign"),
            is_one_of("approval", Approval, table="campaign"),
            is_one_of("status", CampaignStatus, table="campaign"),
            models.CheckConstraint(
                condition=Q(price__isnull=True) | Q(price__gt=0), name="campaign_price_positive"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["finished", "cancelled", "failed"], finished_at__isnull=False)
                | (~Q(status__in=["finished", "cancelled", "failed"]) & Q(finished_at__isnull=True)),
                name="campaign_finished_has_its_time",
            ),
            models.CheckConstraint(
                condition=~Q(status="dispatching") | Q(approved_at__isnull=False),
                name="campaign_dispatching_is_approved",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "-id"], name="campaign_by_tenant"),
            models.Index(
                fields=["id"],
                condition=Q(status__in=["planning", "personalising", "awaiting_approval", "dispatching"]),
                name="campaign_open",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def user_id(self) -> UUID | None:
        """Whoever launched it: whose limits its messages and whose budgets its costs count in."""
        return self.outbox.user_id


class CampaignAccount(TenantOwned):
    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE)
    account = models.ForeignKey(Account, on_delete=models.PROTECT)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["campaign", "account"], name="campaignaccount_unique")]

    def __str__(self) -> str:
        return str(self.account_id)


class StepName(models.TextChoices):
    PLAN = "plan"
    PERSONALISE = "personalise"
    APPROVE = "approve"
    DISPATCH = "dispatch"
    FINISH = "finish"


class StepStatus(models.TextChoices):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


class WorkflowStep(TenantOwned):
    """One step of a campaign's way. Steps run one after another, each until its rows say that it is done."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, related_name="steps")
    name = models.CharField(max_length=16, choices=StepName)
    position = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=16, choices=StepStatus, default=StepStatus.PENDING)
    cursor = models.JSONField(
        default=dict, blank=True, help_text="How far the step has come, to go on from there."
    )
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["campaign", "position"]
        constraints = [
            models.UniqueConstraint(fields=["campaign", "name"], name="workflowstep_unique"),
            is_one_of("name", StepName, table="workflowstep"),
            is_one_of("status", StepStatus, table="workflowstep"),
            models.CheckConstraint(
                condition=Q(status__in=["done", "failed", "skipped"], finished_at__isnull=False)
                | Q(status__in=["pending", "running"], finished_at__isnull=True),
                name="workflowstep_finished_has_its_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.status})"
