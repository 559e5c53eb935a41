"""Which tenant a page of the admin is about."""

from uuid import UUID

from django.utils.text import Truncator

from apps.tenants.models import Tenant

# To choose from.
TENANTS = 500


class ChoiceError(ValueError):
    """What was asked for can't be shown; its text says what can."""


def chosen_tenant(wanted: str) -> Tenant:
    """By its id. Raises ChoiceError."""
    try:
        found = Tenant.objects.filter(pk=UUID(wanted)).first()
    except ValueError:
        found = None
    if found is None:
        raise ChoiceError(f"There is no tenant “{cut(wanted)}”: choose one from the list.")
    return found


def with_chosen(tenant: Tenant | None, tenants: list[Tenant]) -> list[Tenant]:
    """The one that is shown is there to choose, however many there are."""
    return tenants if tenant is None or tenant in tenants else [tenant, *tenants]


def cut(text: str) -> str:
    return Truncator(text).chars(40)
