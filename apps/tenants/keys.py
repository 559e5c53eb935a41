"""API keys: made, hashed, looked up."""

import hashlib
import secrets
from datetime import datetime, timedelta

from apps.common.errors import ConflictError
from apps.tenants.models import ApiKey, Role, Tenant

# A key has 256 random bits, so a plain SHA-256 can't be searched; a slow hash would only tax each request.
PREFIX_LENGTH = 11
LAST_USED_RESOLUTION = timedelta(minutes=1)


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
    """The usable key behind a secret, with its tenant; its last use is noted to the minute."""
    row = ApiKey.objects.usable(now=now).select_related("tenant").filter(key_hash=hash_key(key)).first()
    if row and (row.last_used_at is None or now - row.last_used_at > LAST_USED_RESOLUTION):
        ApiKey.objects.filter(pk=row.pk).update(last_used_at=now)
    return row
