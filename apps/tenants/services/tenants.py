from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from apps.common.errors import ConflictError, NotFoundError
from apps.tenants.models import Membership, Role, Tenant, User


@dataclass(frozen=True)
class Founded:
    """A new tenant and its owner."""

    tenant: Tenant
    owner: User
    owner_is_new: bool


def create_tenant(*, name: str, email: str) -> Founded:
    """Make a tenant with its owner: the user of that e-mail, or else somebody new, who has no password.

    Nothing that an owner may do asks for one: the API takes keys, and whoever makes somebody an operator sets
    their password in the admin.

    Raises ConflictError if the name is in use, and Django's ValidationError for a name or e-mail that
    can't be.
    """
    if Tenant.objects.filter(name=name).exists():
        raise ConflictError(f"There is a tenant called “{name}” already: choose another name.")
    tenant = Tenant(name=name)
    tenant.full_clean()
    tenant.save()
    known = User.objects.filter(email__iexact=email).first()
    owner = known or User.objects.create_user(email)
    Membership.objects.create(tenant=tenant, user=owner, role=Role.OWNER)
    return Founded(tenant=tenant, owner=owner, owner_is_new=known is None)


def tenant_named(words: str) -> Tenant:
    """The tenant with an id or exact name. Raises NotFoundError, or ConflictError for a name of several."""
    found = list(Tenant.objects.filter(Q(name=words) | Q(pk=_id(words)))[:2])
    if not found:
        raise NotFoundError(
            f"There is no tenant with the name or id “{words}”; see the tenants in the admin."
        )
    if len(found) > 1:
        raise ConflictError(f"Several tenants are called “{words}”: give the id of one.")
    return found[0]


def pause_tenant(*, tenant: Tenant, now: datetime) -> None:
    """Stop all sending for a tenant. Raises ConflictError if it is paused already."""
    if not Tenant.objects.filter(pk=tenant.pk, paused_at=None).update(paused_at=now):
        raise ConflictError("It is paused already.")


def resume_tenant(*, tenant: Tenant) -> None:
    """Let sending go on; the sweep finds what is due. Raises ConflictError if it isn't paused."""
    if not Tenant.objects.filter(pk=tenant.pk, paused_at__isnull=False).update(paused_at=None):
        raise ConflictError("It isn't paused.")


def _id(words: str) -> UUID | None:
    try:
        return UUID(words)
    except ValueError:
        return None
