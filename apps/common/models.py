from typing import Any

from django.db import models
from django.db.models.functions import Now

from apps.common.ids import uuid7


class BaseModel(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True


class TenantOwned(BaseModel):
    """A row that belongs to one tenant. The policies of the database compare `tenant_id` (common/rls.py)."""

    tenant_id = models.UUIDField(editable=False, help_text="The tenant that owns this row.")

    class Meta:
        abstract = True


def is_one_of(field: str, choices: type[models.TextChoices], *, table: str) -> models.CheckConstraint:
    """A constraint that a column holds one of the choices, since Django checks them in forms alone."""
    condition: dict[str, Any] = {f"{field}__in": choices.values}
    return models.CheckConstraint(condition=models.Q(**condition), name=f"{table}_{field}_known")


class IdempotencyRecord(TenantOwned):
    """The answer to a POST that created something, kept so that the same key gets the same answer again."""

    key = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64, help_text="SHA-256 of method, path and body.")
    status_code = models.PositiveSmallIntegerField(null=True)
    response = models.JSONField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "key"], name="idempotency_key_unique"),
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_created_at")]

    def __str__(self) -> str:
        return self.key
