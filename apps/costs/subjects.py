"""Whom and what a budget may be for; of accounts and campaigns, the apps above say whether there are such."""

from collections.abc import Callable
from uuid import UUID

from django.db.models import Model

# Given a tenant and an id, whether it has such a row.
Has = Callable[[UUID, UUID], bool]

_subjects: dict[str, Has] = {}


def register_subject(scope: str, has: Has) -> None:
    """`scope` is what budgets call it: account, campaign or user."""
    _subjects[scope] = has


def has(model: type[Model], column: str = "pk") -> Has:
    """Whether a tenant has a row with an id in this column."""

    def there_is(tenant_id: UUID, subject_id: UUID) -> bool:
        rows = model._default_manager.filter(tenant_id=tenant_id, **{column: subject_id})
        return rows.exists()

    return there_is


def subject_problem(*, tenant_id: UUID, scope: str, scope_id: UUID | None) -> str:
    """Why a budget would count nothing: the tenant has no such row. Empty if it has, or none is named."""
    if scope_id is None or scope not in _subjects or _subjects[scope](tenant_id, scope_id):
        return ""
    return f"There is no such {scope}."
