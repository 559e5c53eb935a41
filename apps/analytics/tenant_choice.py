"""Which tenant a page of the admin is about."""

from dataclasses import dataclass, replace
from uuid import UUID

from django.db.models import Q
from django.utils.text import Truncator

from apps.tenants.models import Tenant

# To choose from.
TENANTS = 500


class ChoiceError(ValueError):
    """What was asked for can't be shown; its text says what can."""


@dataclass(frozen=True, slots=True)
class Choices:
    """Tenants to choose from, by name. `is_cut`: there are more, which have to be looked for."""

    tenants: list[Tenant]
    is_cut: bool = False
    find: str = ""

    def having(self, tenant: Tenant | None) -> "Choices":
        """The one that is shown is there to choose, however many there are."""
        if tenant is None or tenant in self.tenants:
            return self
        return replace(self, tenants=[tenant, *self.tenants])


def all_choices() -> Choices:
    return _choices(Q(), find="")


def choices_for(find: str) -> Choices:
    """Those with this in their names, or of this id. Raises ChoiceError if there is none."""
    of_words = Q(name__icontains=find) | Q(pk=_id(find))
    found = _choices(of_words, find=find) if "\0" not in find else Choices([])
    if not found.tenants:
        raise ChoiceError(f"No tenant has “{cut(find)}” in its name, or as its id: find another.")
    return found


def chosen_tenant(wanted: str) -> Tenant:
    """By its id. Raises ChoiceError."""
    pk = _id(wanted)
    found = Tenant.objects.filter(pk=pk).first() if pk else None
    if found is None:
        raise ChoiceError(f"There is no tenant “{cut(wanted)}”: choose one from the list.")
    return found


def cut(text: str) -> str:
    return Truncator(text).chars(40)


def _choices(of: Q, *, find: str) -> Choices:
    tenants = list(Tenant.objects.filter(of).order_by("name", "pk")[: TENANTS + 1])
    return Choices(tenants[:TENANTS], is_cut=len(tenants) > TENANTS, find=find)


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
