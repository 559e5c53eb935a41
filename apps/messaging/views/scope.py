"""The rows that paths and bodies name, of the caller's tenant: those of others aren't there."""

from uuid import UUID

from apps.common.errors import InvalidInputError, NotFoundError
from apps.messaging.models import Account, Fan, Platform


def account_of(account_id: UUID, *, field: str = "") -> Account:
    """Raises NotFoundError, which names the body's or the query's `field` if there is one."""
    account = Account.objects.filter(pk=account_id).first()
    if account is None:
        text = "There is no such account."
        raise NotFoundError(text, fields={field: text} if field else None)
    return account


def recipient(*, account_id: UUID, fan_id: UUID) -> tuple[Account, Fan]:
    """Whom a message is from and to. Raises NotFoundError, or InvalidInputError for another platform."""
    account = account_of(account_id, field="account")
    if account.platform != Platform.ONLYFANS:
        text = f"This account is on {account.get_platform_display()}, not on OnlyFans."
        raise InvalidInputError(text, code="other_platform", fields={"account": text})
    fan = Fan.objects.filter(pk=fan_id, account=account).first()
    if fan is None:
        text = "This account has no such fan."
        raise NotFoundError(text, fields={"fan": text})
    return account, fan
