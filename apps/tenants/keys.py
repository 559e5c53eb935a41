"""API keys: made, hashed, looked up."""

import hashlib
import json
import secrets
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db.models import Model

from apps.common.errors import ConflictError
from apps.tenants.models import ApiKey, Role, Tenant
from apps.tenants.system import call_for_system

# A key has 256 random bits, so a plain SHA-256 can't be searched; a slow hash would only tax each request.
PREFIX_LENGTH = 11
LAST_USED_RESOLUTION = timedelta(minutes=1)

Row = TypeVar("Row", bound=Model)


def hash_key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def create_api_key(
    *, tenant: Tenant, role: Role, name: str = "", expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """Make a key. Returns the row and the key itself, which can't be had again."""
    row = ApiKey(tenant=tenant, role=role, name=name, expires_at=expires_at)
    key = draw_key(row)
    row.save()
    return row, key


def draw_key(row: ApiKey) -> str:
    """Give a row that isn't saved yet a key of its own, of which it keeps the hash and the beginning."""
    key = f"hz_{secrets.token_urlsafe(32)}"
    row.prefix, row.key_hash = key[:PREFIX_LENGTH], hash_key(key)
    return key


def revoke_api_key(*, key: ApiKey, now: datetime) -> None:
    """Refuse the key from now on. Raises ConflictError if it is revoked already."""
    if not ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now):
        raise ConflictError("It is revoked already.")


def find_api_key(key: str, *, now: datetime) -> ApiKey | None:
    """The usable key behind a secret, with its tenant, in one round trip; its use is noted to the minute."""
    row = call_for_system("tenants_find_api_key", hash_key(key), now, LAST_USED_RESOLUTION)
    if row["api_key"] is None:
        return None
    found = _loaded(ApiKey, row["api_key"])
    found.tenant = _loaded(Tenant, row["tenant"])
    return found


def _loaded(model: type[Row], document: str) -> Row:
    """The row that PostgreSQL has written as JSON."""
    columns: dict[str, Any] = json.loads(document)
    fields = model._meta.concrete_fields
    values = [field.to_python(columns[field.attname]) for field in fields]
    return model.from_db("default", [field.attname for field in fields], values)
