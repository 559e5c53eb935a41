"""What an operator does to rows: a button on the row's page, and a choice above the list."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MethodType
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from apps.common.errors import DomainError

# Rows that one request acts on: more would hold their locks for long.
AT_ONCE = 1000


@dataclass(frozen=True)
class Order:
    """Who orders it, when, and why."""

    request: HttpRequest
    now: datetime
    reason: str = ""

    @property
    def by(self) -> str:
        return str(self.request.user)

    @property
    def user_id(self) -> UUID:
        assert self.request.user.pk  # by the admin's sign-in
        return UUID(str(self.request.user.pk))


@dataclass(frozen=True)
class Operation:
    """One that a service carries out: `act(row, order)`, which may refuse with a DomainError.

    `together` hands it all rows at once, for services that lock them in an order of their own. `when` says on
    which rows' pages the button stands. `asks_why` makes it a matter of one row, with a reason. `remark` says
    what the operator should know besides, given what `act` has returned each time.
    """

    name: str
    title: str
    says: str
    act: Callable[[Any, Order], object]
    done: str
    icon: str = "play_arrow"
    danger: bool = False
    when: Callable[[Any], bool] = lambda _row: True
    together: bool = False
    asks_why: bool = False
    remark: Callable[[Sequence[Any]], str] = lambda _results: ""


class ReasonForm(BaseDialogForm):  # type: ignore[misc]  # Unfold is untyped
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))


class Operated:
    """Gives a ModelAdmin its `operations`."""

    operations: Sequence[Operation] = ()
    opts: Any
    get_object: Callable[..., Any]

    def __init__(self, *args: Any) -> None:
        names = []
        for operation in self.operations:
            setattr(self, operation.name, MethodType(_on_the_page(operation), self))
            names.append(operation.name)
        self.actions_detail = names
        super().__init__(*args)

    def has_operate_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        """Whoever could change the row may act on it, also where nobody edits it by hand."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        offered: dict[str, Any] = super().get_actions(request)  # type: ignore[misc]  # of the ModelAdmin
        if offered or self.has_operate_permission(request):
            for one in self.operations:
                if not one.asks_why and self.has_operate_permission(request):
                    offered[one.name] = (_above_the_list(one), one.name, f"{one.title}: {one.says}")
        return offered

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[UnfoldAction]:
        offered: list[UnfoldAction] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        row = self.get_object(request, object_id) if offered else None
        fitting = {one.name for one in self.operations if row is not None and one.when(row)}
        return [each for each in offered if each.method.original_function_name in fitting]

    def perform(self, operation: Operation, rows: Sequence[Model], order: Order) -> None:
        """Let the service act, and tell the operator what was done and what was refused, and why.

        What was done also goes into the rows' history.
        """
        done: list[Model] = []
        results: list[Any] = []
        batches = [list(rows)] if operation.together else [[row] for row in rows]
        for batch in batches:
            try:
                with transaction.atomic():
                    result = operation.act(batch if operation.together else batch[0], order)
            except DomainError as refusal:
                subject = f"{batch[0]}: " if len(batch) == 1 else ""
                messages.warning(order.request, f"{subject}{refusal.message}")
            else:
                done += batch
                results.append(result)
        if done:
            number = f": {len(done)}" if len(done) > 1 else ""
            messages.success(order.request, f"{operation.done}{number}. {operation.remark(results)}".strip())
            said = f"{operation.done}. {order.reason}".strip()
            LogEntry.objects.log_actions(order.user_id, done, CHANGE, said)


def _above_the_list(operation: Operation) -> Callable[..., None]:
    def run(admin: Operated, request: HttpRequest, picked: QuerySet[Any]) -> None:
        rows = list(picked.order_by("pk")[: AT_ONCE + 1])
        if len(rows) > AT_ONCE:
            messages.warning(request, f"Only the first {AT_ONCE:,} were taken; do it again for the others.")
        admin.perform(operation, rows[:AT_ONCE], Order(request, timezone.now()))

    return run


def _on_the_page(operation: Operation) -> Callable[..., HttpResponse]:
    def run(admin: Operated, request: HttpRequest, form: forms.Form, object_id: str) -> HttpResponse:
        row = admin.get_object(request, object_id)
        if row is None:
            raise Http404
        order = Order(request, timezone.now(), form.cleaned_data.get("reason", ""))
        admin.perform(operation, [row], order)
        page = reverse(f"admin:{admin.opts.app_label}_{admin.opts.model_name}_change", args=[object_id])
        return HttpResponse(headers={"HX-Redirect": page})

    run.__name__ = operation.name
    dialog: dict[str, Any] = {
        "title": operation.title,
        "description": operation.says,
        "form_submit_text": operation.title,
    }
    if operation.asks_why:
        dialog["form_class"] = ReasonForm
    decorate = action(
        description=operation.title,
        url_path=operation.name.replace("_", "-"),
        permissions=["operate"],
        icon=operation.icon,
        variant=ActionVariant.DANGER if operation.danger else ActionVariant.DEFAULT,
        dialog=dialog,
    )
    return decorate(run)  # type: ignore[no-any-return]  # Unfold is untyped
