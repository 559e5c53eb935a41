"""The choice of whom or what a budget is for, among the rows of the tenant that its form names."""

from collections.abc import Sequence
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest, JsonResponse
from django.urls import reverse_lazy
from unfold.widgets import UnfoldAdminSelect2Widget

from apps.common.admin.columns import short
from apps.common.admin.search import by_id
from apps.costs.subjects import subjects_of

URL_NAME = "costs_budget_subjects"
_PAGE = 20
# Digits of a page's number; of more, PostgreSQL couldn't count its rows.
_DIGITS = 9
_Choice = tuple[str, str]


class SubjectSelect(UnfoldAdminSelect2Widget):  # type: ignore[misc]  # Unfold is untyped
    """Searches as somebody types. It knows the chosen one alone: a tenant may have thousands."""

    def __init__(self) -> None:
        url = reverse_lazy(f"admin:{URL_NAME}")
        # A class of its own, or Unfold would make it a list that it can't search.
        super().__init__({"data-ajax--url": url, "data-placeholder": "Search by name or id"})
        self.attrs["class"] = "budget-subject"

    class Media:
        # After those, each of which it needs.
        js = (*UnfoldAdminSelect2Widget.Media.js, "huntaze/budget_subject.js")


def found_subjects(request: HttpRequest) -> JsonResponse:
    """A page of those whose name holds `term`, or whose id begins with it, as Select2 reads them."""
    asked = request.GET
    page = _page(asked.get("page", ""))
    found = _find(asked.get("tenant", ""), asked.get("scope", ""), asked.get("term", ""), page=page)
    results = [{"id": key, "text": text} for key, text in found[:_PAGE]]
    return JsonResponse({"results": results, "pagination": {"more": len(found) > _PAGE}})


def chosen(tenant: object, scope: object, subject: object) -> Sequence[_Choice]:
    """The choice of one that a form was given; none where it gives no row of the tenant's."""
    subjects, tenant_id, subject_id = subjects_of(str(scope)), _uuid(tenant), _uuid(subject)
    if subjects is None or tenant_id is None or subject_id is None:
        return []
    rows = subjects.of(tenant_id).filter(**{subjects.key: subject_id})
    return [_choice(*each) for each in rows.values_list(subjects.key, subjects.name)[:1]]


def _find(tenant: str, scope: str, term: str, *, page: int) -> list[_Choice]:
    """One more than a page, if there are more."""
    subjects, tenant_id = subjects_of(scope), _uuid(tenant)
    if subjects is None or tenant_id is None or "\0" in term:  # which no text in PostgreSQL has
        return []
    wanted = Q(**{f"{subjects.name}__icontains": term.strip()}) | by_id(term, [subjects.key])
    rows = subjects.of(tenant_id).filter(wanted).order_by(subjects.name, subjects.key)
    begin = (page - 1) * _PAGE
    columns = rows.values_list(subjects.key, subjects.name)
    return [_choice(*each) for each in columns[begin : begin + _PAGE + 1]]


def _page(given: str) -> int:
    """What is no page counts as the first."""
    return max(int(given), 1) if given.isdecimal() and len(given) <= _DIGITS else 1


def _choice(key: UUID, name: str) -> _Choice:
    return str(key), f"{name} ({short(key)})"


def _uuid(given: object) -> UUID | None:
    try:
        return UUID(str(given))
    except ValueError:
        return None
