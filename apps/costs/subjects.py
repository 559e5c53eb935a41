"""Whom and what a budget may be for; of accounts and campaigns, the apps above say what there is."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Model, QuerySet


@dataclass(frozen=True, slots=True)
class Subjects:
    """Tenants' rows of one kind: `key` is the column with their ids, `name` what people know them by."""

    model: type[Model]
    key: str = "pk"
    name: str = "name"

    def has(self, tenant_id: UUID, subject_id: UUID) -> bool:
        """Whether the tenant has such a row."""
        return self.of(tenant_id).filter(**{self.key: subject_id}).exists()

    def of(self, tenant_id: UUID) -> QuerySet[Any]:
        return self.model._default_manager.filter(tenant_id=tenant_id)


_subjects: dict[str, Subjects] = {}


def register_subject(scope: str, subjects: Subjects) -> None:
    """`scope` is what budgets call it: account, campaign or user."""
    _subjects[scope] = subjects


def subjects_of(scope: str) -> Subjects | None:
    """None where a budget of that scope is for no row."""
    return _subjects.get(scope)


def names_of(wanted: Collection[tuple[UUID, str, UUID]]) -> dict[tuple[UUID, str, UUID], str]:
    """What people know these by, each of a tenant, a scope and an id. What is gone has no name."""
    found = {}
    for scope, subjects in _subjects.items():
        of_scope = [(tenant_id, subject_id) for tenant_id, each, subject_id in wanted if each == scope]
        if not of_scope:
            continue
        tenants, ids = map(set, zip(*of_scope, strict=True))
        rows = subjects.model._default_manager.filter(tenant_id__in=tenants, **{f"{subjects.key}__in": ids})
        for tenant_id, subject_id, name in rows.values_list("tenant_id", subjects.key, subjects.name):
            found[tenant_id, scope, subject_id] = name
    return found


def subject_problem(*, tenant_id: UUID, scope: str, scope_id: UUID | None) -> str:
    """Why a budget would count nothing: the tenant has no such row. Empty if it has, or none is named."""
    subjects = subjects_of(scope)
    if scope_id is None or subjects is None or subjects.has(tenant_id, scope_id):
        return ""
    return f"There is no such {scope}."
