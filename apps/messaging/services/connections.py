"""Connecting creators' accounts, and changing what is known of them."""

from datetime import datetime, time
from typing import TypedDict, Unpack
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.common.constraints import violated
from apps.common.errors import ConflictError, NotFoundError
from apps.messaging.models import Account
from apps.messaging.services import quiet_hours


class AccountFields(TypedDict, total=False):
    """The columns of an account that its owner may set."""

    name: str
    credential: str
    limit_count: int | None
    limit_seconds: int | None
    min_gap_ms: int
    fan_gap_seconds: int | None
    fan_cap_count: int | None
    fan_cap_seconds: int | None
    time_zone: str
    quiet_start: time | None
    quiet_end: time | None
    quiet_zone: str


# A change of these can let an account send sooner than it was told to look again.
_PACE = frozenset(AccountFields.__annotations__) - {"name", "credential"}


def connect_account(
    *, tenant_id: UUID, platform: str, external_id: str, **fields: Unpack[AccountFields]
) -> Account:
    """Make a platform's account known. Raises ConflictError if it is connected, by this tenant or another."""
    try:
        with transaction.atomic():
            return Account.objects.create(
                tenant_id=tenant_id, platform=platform, external_id=external_id, **fields
            )
    except IntegrityError as error:
        if violated(error) != "account_unique":
            raise
        # The row may be another tenant's, invisible to us: its limit at the platform is one, so it can
        # have one sender only.
        raise ConflictError(
            f"The account “{external_id}” on {platform} is connected already.", code="already_connected"
        ) from None


def change_account(*, account_id: UUID, now: datetime, **fields: Unpack[AccountFields]) -> Account:
    """Change what is given, and let a new pace count from now on. Raises NotFoundError."""
    account = Account.objects.select_for_update(no_key=True).filter(pk=account_id).first()
    if account is None:
        raise NotFoundError("There is no such account.")
    quiet = quiet_hours.of_account(account, now=now)
    for name, value in fields.items():
        setattr(account, name, value)
    changed: list[str] = list(fields)
    if quiet and account.blocked_until == quiet and _PACE.intersection(fields):
        # The block was for the old hours; the next claim looks at the new ones. The platform's own stays.
        account.blocked_until = None
        changed.append("blocked_until")
    if account.next_due and _PACE.intersection(fields):
        account.next_due = max(now, account.blocked_until or now)
        changed.append("next_due")
    if changed:
        account.save(update_fields=changed)
    return account
