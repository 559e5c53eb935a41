from django.db import models
from django.db.models import Q

from apps.campaigns.models import Campaign
from apps.common.fields import CurrencyField, MoneyField
from apps.common.models import TenantOwned, is_one_of
from apps.common.money import LEDGER_CURRENCY
from apps.messaging.models import Account


class RevenueKind(models.TextChoices):
    PURCHASE = "purchase"
    TIP = "tip"
    SUBSCRIPTION = "subscription"
    OTHER = "other"
    REFUND = "refund"


class RevenueEntry(TenantOwned):
    """Money that an account has earned, or had to give back, as somebody who knows has told us.

    The platforms tell us nothing of it, and what is asked for a message is no revenue. Written once.
    """

    external_id = models.CharField(max_length=128, help_text="The teller's own; unique within the tenant.")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    campaign = models.ForeignKey(
        Campaign, on_delete=models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    message_id = models.UUIDField(null=True, blank=True, help_text="A live message or an archived one.")
    occurred_at = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=RevenueKind, default=RevenueKind.PURCHASE)
    amount = MoneyField(help_text="Below zero for a refund, and for nothing else.")
    currency = CurrencyField()

    class Meta:
        verbose_name_plural = "revenue entries"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "external_id"], name="revenueentry_once"),
            is_one_of("kind", RevenueKind, table="revenueentry"),
            models.CheckConstraint(
                condition=Q(currency=LEDGER_CURRENCY), name="revenueentry_in_ledger_currency"
            ),
            models.CheckConstraint(
                condition=Q(kind="refund", amount__lt=0) | (~Q(kind="refund") & Q(amount__gt=0)),
                name="revenueentry_sign_fits_its_kind",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant_id", "occurred_at"], name="revenueentry_by_time"),
            models.Index(fields=["tenant_id", "id"], name="revenueentry_by_tenant"),
            models.Index(
                fields=["campaign"], condition=Q(campaign__isnull=False), name="revenueentry_by_campaign"
            ),
            models.Index(fields=["account"], name="revenueentry_by_account"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.external_id}"
