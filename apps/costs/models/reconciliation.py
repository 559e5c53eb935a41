"""A provider's bill beside the ledger. All of it is the platform's own: its keys are for all tenants."""

from decimal import Decimal

from django.db import models
from django.db.models import Q

from apps.common.fields import MoneyField
from apps.common.models import BaseModel, TenantOwned, is_one_of
from apps.common.money import LEDGER_CURRENCY


class BilledBy(models.TextChoices):
    OPENAI = "openai", "OpenAI"
    AZURE = "azure", "Azure"


class ImportState(models.TextChoices):
    IMPORTED = "imported"
    CORRECTING = "correcting"
    CORRECTED = "corrected"


class DifferenceState(models.TextChoices):
    MATCHED = "matched"
    DIFFERENT = "different"
    OURS_ONLY = "ours_only", "ours only"
    THEIRS_ONLY = "theirs_only", "theirs only"


class CorrectionState(models.TextChoices):
    PLANNED = "planned"
    ENTERED = "entered"
    OVERTAKEN = "overtaken", "overtaken: its estimate was corrected by then"


class UsageImport(BaseModel):
    """A file that a provider has exported, read once."""

    provider = models.CharField(max_length=32, choices=BilledBy)
    file_name = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64, editable=False)
    layout = models.CharField(max_length=32, editable=False)
    first_day = models.DateField(editable=False, help_text="Of UTC, like all days of providers.")
    last_day = models.DateField(editable=False)
    lines = models.PositiveIntegerField(editable=False)
    other_lines = models.PositiveIntegerField(
        editable=False, help_text="Those of something else than models' tokens."
    )
    uploaded_by = models.UUIDField(null=True, editable=False, help_text="Null: by the command.")
    state = models.CharField(max_length=16, choices=ImportState, default=ImportState.IMPORTED, editable=False)
    above_bounds = models.BooleanField(
        default=False,
        editable=False,
        help_text="Corrections may go beyond what was held for their attempts.",
    )
    compared_at = models.DateTimeField(editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "sha256"], name="usageimport_once"),
            is_one_of("state", ImportState, table="usageimport"),
            is_one_of("provider", BilledBy, table="usageimport"),
            models.CheckConstraint(
                condition=Q(last_day__gte=models.F("first_day")), name="usageimport_days_in_order"
            ),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(state="correcting"), name="usageimport_open")]

    def __str__(self) -> str:
        return f"{self.file_name} ({self.provider})"


class _Counted(BaseModel):
    """Figures of a model's day. Null: unknown."""

    currency = LEDGER_CURRENCY

    usage_import = models.ForeignKey(
        UsageImport, on_delete=models.CASCADE, related_name="%(class)ss", db_index=False
    )
    day = models.DateField()
    model = models.CharField(max_length=100)
    requests = models.BigIntegerField(null=True)
    input_tokens = models.BigIntegerField(null=True)
    cached_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True)
    amount = MoneyField[str | Decimal | None, Decimal | None](null=True)

    class Meta:
        abstract = True


class UsageLine(_Counted):
    """What the file says of a model's day and a key or project, its lines for these added up."""

    key = models.CharField(max_length=300, blank=True, help_text="The provider's project or key.")

    class Meta:
        ordering = ["day", "model", "key"]
        constraints = [
            models.UniqueConstraint(fields=["usage_import", "day", "model", "key"], name="usageline_once")
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.model}"


class UsageDifference(_Counted):
    """A model's day by the provider (`requests` to `amount`) and by the ledger, when they were compared."""

    provider = models.CharField(max_length=32)
    state = models.CharField(max_length=16, choices=DifferenceState)
    priced = models.BooleanField(help_text="Their amount is reckoned from their tokens, by our prices.")
    our_requests = models.BigIntegerField()
    our_input_tokens = models.BigIntegerField()
    our_cached_tokens = models.BigIntegerField()
    our_output_tokens = models.BigIntegerField()
    our_amount = MoneyField()
    estimates = models.PositiveIntegerField(help_text="Of our requests, those that stand at their bound.")
    estimated_amount = MoneyField()
    rest = MoneyField[str | Decimal | None, Decimal | None](
        null=True, help_text="What the estimates come to if corrected; null: they can't be."
    )
    reason = models.CharField(max_length=300, blank=True, help_text="Why they can't be corrected.")

    class Meta:
        ordering = ["-day", "model"]
        constraints = [
            models.UniqueConstraint(fields=["usage_import", "day", "model"], name="usagedifference_once"),
            is_one_of("state", DifferenceState, table="usagedifference"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.model}: {self.state}"


class UsageCorrection(TenantOwned):
    """What an estimated attempt has used, by a provider's bill. Planned with others, entered by itself."""

    currency = LEDGER_CURRENCY

    usage_import = models.ForeignKey(
        UsageImport, on_delete=models.CASCADE, related_name="corrections", db_index=False
    )
    day = models.DateField()
    model = models.CharField(max_length=100)
    hold_id = models.UUIDField()
    generation_id = models.UUIDField()
    attempt = models.PositiveSmallIntegerField()
    input_tokens = models.PositiveIntegerField()
    cached_tokens = models.PositiveIntegerField()
    output_tokens = models.PositiveIntegerField()
    bound = MoneyField(help_text="What it was entered at.")
    amount = MoneyField(help_text="What it has cost.")
    state = models.CharField(max_length=16, choices=CorrectionState, default=CorrectionState.PLANNED)
    entered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["usage_import", "hold_id"], name="usagecorrection_once"),
            is_one_of("state", CorrectionState, table="usagecorrection"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="usagecorrection_not_negative"),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(state="planned"), name="usagecorrection_planned")]

    def __str__(self) -> str:
        return f"{self.generation_id}/{self.attempt}"
