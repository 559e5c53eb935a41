from typing import Any
from uuid import UUID

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import OuterRef, Q, Subquery

from apps.common.models import BaseModel, TenantOwned


class FlagQuerySet(models.QuerySet["Flag"]):
    def for_tenant(self, tenant_id: UUID) -> Any:
        """Each with the tenant's own setting as `own`, None where it has none."""
        mine = FlagOverride.objects.filter(flag=OuterRef("pk"), tenant_id=tenant_id)
        return self.annotate(own=Subquery(mine.values("enabled")))


class Flag(BaseModel):
    """A switch for a feature: on for a share of the tenants, or tenant by tenant."""

    name = models.SlugField(max_length=64, unique=True)
    description = models.TextField(blank=True)
    rollout_percent = models.PositiveSmallIntegerField(
        default=0,
        validators=[MaxValueValidator(100)],
        help_text="Share of the tenants, 0 to 100, for which the feature is on.",
    )

    objects = FlagQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(rollout_percent__lte=100), name="flag_rollout_is_a_share")
        ]

    def __str__(self) -> str:
        return self.name


class FlagOverride(TenantOwned):
    """One tenant's own setting of a flag, which wins over the roll-out."""

    flag = models.ForeignKey(Flag, on_delete=models.CASCADE, related_name="overrides")
    tenant_id = models.UUIDField()
    enabled = models.BooleanField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["flag", "tenant_id"], name="flagoverride_unique")]

    def __str__(self) -> str:
        return f"{self.flag}: {'on' if self.enabled else 'off'}"
