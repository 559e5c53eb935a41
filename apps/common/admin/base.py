"""What the admin pages of all apps share."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.utils import flatten_fieldsets
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.shortcuts import redirect
from unfold.admin import ModelAdmin, TabularInline
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminDecimalFieldWidget

from apps.common.admin.columns import IdLink, amount
from apps.common.admin.operations import Operated
from apps.common.admin.paginator import BoundedPaginator
from apps.common.admin.search import by_id
from apps.common.errors import DomainError
from apps.common.fields import MoneyField


class List(ChangeList):  # type: ignore[misc]  # Unfold is untyped
    """Says how many rows were found only where something was searched for."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not (self.query or self.has_active_filters):
            self.full_result_count = self.result_count


class TrimmedDecimalField(forms.DecimalField):
    """An amount without the zeros of its ten decimals."""

    def prepare_value(self, value: Any) -> Any:
        return amount(value, group="") if isinstance(value, Decimal) else value


class Admin(Operated, ModelAdmin):  # type: ignore[misc]  # Unfold is untyped
    """A table whose rows an operator may add and change.

    Nothing is deleted unless `deletable`: most rows are what others point at by plain ids, or the record of
    what happened.
    """

    deletable = False
    # Columns with ids that may be searched by their first eight or more digits, through an index.
    search_ids: Sequence[str] = ("pk",)
    # Columns that the term has to equal; for tables too long for `search_fields`, which look inside texts.
    search_exact: Sequence[str] = ()
    # What an empty list says: how rows come to be here.
    empty_hint = ""

    list_per_page = 50
    list_max_show_all = 0
    list_fullwidth = True
    show_facets = ShowFacets.NEVER
    show_full_result_count = False
    paginator = BoundedPaginator
    compressed_fields = False
    warn_unsaved_form = True
    formfield_overrides = {
        MoneyField: {"form_class": TrimmedDecimalField, "widget": UnfoldAdminDecimalFieldWidget}
    }

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return List

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.deletable and bool(super().has_delete_permission(request, obj))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        for column in self._links(request):
            rows = rows.annotate(**column.annotation())
        return rows

    def _links(self, request: HttpRequest) -> Iterator[IdLink]:
        # Without a row at hand, a table that takes new ones may call none of its fields read-only.
        fields = [
            *self.get_list_display(request),
            *self.get_readonly_fields(request),
            *flatten_fieldsets(self.fieldsets or ()),
        ]
        seen: set[str] = set()
        for each in fields:
            if isinstance(each, IdLink) and each.alias not in seen:
                seen.add(each.alias)
                yield each

    def get_inline_instances(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """Without those to look at while the row isn't there yet: nothing can belong to it."""
        found: list[Any] = super().get_inline_instances(request, obj)
        return found if obj else [each for each in found if not isinstance(each, ReadOnlyInline)]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """A service that refuses to save says why, instead of a page that says “server error”."""
        try:
            with transaction.atomic():
                return super().changeform_view(request, object_id, form_url, extra_context)
        except DomainError as refusal:
            messages.error(request, refusal.message)
            return redirect(request.get_full_path())

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Write only what the form changed: other columns may have moved on since the row was read."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        columns = {field.name for field in self.opts.concrete_fields}
        changed = columns.intersection(form.changed_data)
        if changed:
            obj.save(update_fields=changed)

    def get_search_fields(self, request: HttpRequest) -> Sequence[str]:
        """Says that there is something to search, even where only ids are."""
        return [*self.search_fields, *self.search_exact, *self.search_ids]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        found = by_id(term, self.search_ids)
        for field in self.search_exact:
            found |= Q(**{field: term})
        for field in self.search_fields:
            found |= Q(**{f"{field}__icontains": term})
        return (queryset.filter(found) if found else queryset.none()), False


class ReadOnlyAdmin(Admin):
    """A table that services alone write. An operator looks, and acts through actions."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Sequence[Any]:
        return flatten_fieldsets(self.fieldsets) if self.fieldsets else ()


class LongTableAdmin(ReadOnlyAdmin):
    """A table that may have millions of rows: newest first by its key, and sorted by nothing else."""

    ordering: Sequence[str] = ("-pk",)
    sortable_by = ()


class ReadOnlyInline(TabularInline):  # type: ignore[misc]  # Unfold is untyped
    """The few rows that belong to another one, to look at."""

    extra = 0
    can_delete = False
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
