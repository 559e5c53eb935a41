"""Whom and what a budget may be for; of accounts and campaigns, the apps above say what there is."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Case, CharField, Model, OuterRef, QuerySet, Subquery, When


@dataclass(frozen=True, slots=True)
class Subjects:
    """Tenants' rows of one kind: `key` is the column with their ids, `name` what people know them by."""

    model: type[Model]
    key: str = "pk"
    name: str = "name"

    def has(self, tenant_id: UUID, subject_id: UUID) -> bool:
        """Whether the tenant has such a row."""
        return self.of(tenant_id).filter(**{self.key: subject_id}).exists()

    def named(self, tenant_id: OuterRef, subject_id: OuterRef) -> QuerySet[Any]:
        """The name of that row, for a subquery."""
        return self.of(tenant_id).filter(**{self.key: subject_id}).values(self.name)[:1]

    def of(self, tenant_id: UUID | OuterRef) -> QuerySet[Any]:
        return self.model._default_manager.filter(tenant_id=tenant_id)


_subjects: dict[str, Subjects] = {}


def register_subject(scope: str, subjects: Subjects) -> None:
    """`scope` is what budgets call it: account, campaign or user."""
    _subjects[scope] = subjects


def subjects_of(scope: str) -> Subjects | None:
    """None where a budget of that scope is for no row."""
    return _subjects.get(scope)


def scope_name() -> Case:
    """For rows with `tenant_id`, `scope` and `scope_id`: what people call the tenant's row that they are for.

    None where there is no such row.
    """
    names = [
        When(scope=scope, then=Subquery(subjects.named(OuterRef("tenant_id"), OuterRef("scope_id"))))
        for scope, subjects in _subjects.items()
    ]
    return Case(*names, default=None, output_field=CharField())


def subject_problem(*, tenant_id: UUID, scope: str, scope_id: UUID | None) -> str:
    """Why a budget would count nothing: the tenant has no such row. Empty if it has, or none is named."""
    subjects = subjects_of(scope)
    if scope_id is None or subjects is None or subjects.has(tenant_id, scope_id):
        return ""
    return f"There is no such {scope}."
