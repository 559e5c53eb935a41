"""What the admin's page of deployments shows of their breakers, and what an operator does to them.

The states are Redis's. It is asked within the page's transaction: once for all rows, and for its time-out at
most.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import formats
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from unfold.views import ChangeList

from apps.ai.models import BreakerChange, Deployment
from apps.ai.services.breakers import breaker_statuses, force_breaker, forget_breakers
from apps.common.admin.base import List, ReadOnlyInline
from apps.common.admin.columns import EMPTY, Badge, Column, IdLink, badge
from apps.common.admin.operations import Operation, Order
from apps.common.breaker.rules import State, Status

BY = IdLink("by", "by", to="tenants.user", name="email")
_COLOURS = {State.CLOSED: "active", State.HALF_OPEN: "warning", State.OPEN: "open"}


def status_of(row: Any) -> Status | None:
    """As it was read for this page; None on the page that adds a deployment."""
    found: Status | None = getattr(row, "_breaker", None)
    return found


def read_statuses(rows: Iterable[Deployment]) -> None:
    deployments = list(rows)
    found = breaker_statuses([each.pk for each in deployments]) if deployments else {}
    for row in deployments:
        row._breaker = found[row.pk]  # type: ignore[attr-defined]  # for this page alone


class BreakerColumn(Column):
    """The state, and what follows from it for calls."""

    def __call__(self, row: Model) -> SafeString | str:
        status = status_of(row)
        if status is None:
            return EMPTY
        held = "held " if status.forced else ""
        shown = badge(_COLOURS[status.state], f"{held}{status.state.words}")
        if status.cool_down_left:
            shown += badge("warning", "cooling down")
        return shown


class FiguresColumn(Column):
    """What the state comes from."""

    def __call__(self, row: Model) -> str:
        status = status_of(row)
        if status is None:
            return EMPTY
        said = [
            "only as this process sees it, while Redis takes no results" if status.is_local else "",
            status.excluded or "",
            f"{status.failures} of {status.calls} calls failed in its window",
            f"{status.failures_in_a_row} in a row" if status.failures_in_a_row else "",
            f"last success {_time(status.succeeded_at)}" if status.succeeded_at else "",
            f"{status.state.words} since {_time(status.since)}" if status.since else "",
        ]
        return "; ".join(filter(None, said))


def _time(instant: datetime) -> str:
    return formats.date_format(localtime(instant), "DATETIME_FORMAT")


BREAKER = BreakerColumn("breaker")
FIGURES = FiguresColumn("calls")


class DeploymentList(List):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        read_statuses(self.result_list)


class WithBreakers:
    """For the admin of deployments: rows know their breakers, and may go although these have a history."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DeploymentList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)  # type: ignore[misc]  # of the ModelAdmin
        read_statuses([row] if row else [])
        return row

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        gone = [obj.pk]
        super().delete_model(request, obj)  # type: ignore[misc]  # of the ModelAdmin
        transaction.on_commit(lambda: forget_breakers(gone))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        gone = list(queryset.values_list("pk", flat=True))
        super().delete_queryset(request, queryset)  # type: ignore[misc]  # of the ModelAdmin
        transaction.on_commit(lambda: forget_breakers(gone))

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        found = super().get_deleted_objects(objs, request)  # type: ignore[misc]  # of the ModelAdmin
        deletable, counts, lacking, protected = found
        lacking.discard(BreakerChange._meta.verbose_name)
        return deletable, counts, lacking, protected


class BreakerChangeInline(ReadOnlyInline):
    """The last changes, newest first."""

    model = BreakerChange
    verbose_name_plural = "Last changes of the breaker"
    fields = ["created_at", Badge("before", "before"), Badge("after", "after"), "reason", BY]
    readonly_fields = fields
    ordering = ["-pk"]
    per_page = 10

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).annotate(**BY.annotation())
        return rows


def _force(state: State | None) -> Any:
    def act(deployment: Deployment, order: Order) -> None:
        force_breaker(deployment=deployment, state=state, by=order.user_id, reason=order.reason)

    return act


def _not_held(state: State) -> Any:
    return lambda row: (status := status_of(row)) is not None and status.forced is not state


OPERATIONS = [
    Operation(
        "open_breaker",
        "Open breaker",
        "No call goes to this deployment, in any process, until you close the breaker or give it back.",
        _force(State.OPEN),
        "Breaker opened",
        icon="block",
        danger=True,
        when=_not_held(State.OPEN),
        asks_why=True,
    ),
    Operation(
        "close_breaker",
        "Close breaker",
        "Calls go to this deployment, however many fail, until you open the breaker or give it back.",
        _force(State.CLOSED),
        "Breaker closed",
        icon="check_circle",
        when=_not_held(State.CLOSED),
    ),
    Operation(
        "release_breaker",
        "Back to automatic",
        "The breaker opens and closes by itself again. If it was held open, the next call is a probe.",
        _force(None),
        "Breaker back to automatic",
        icon="autorenew",
        when=lambda row: (status := status_of(row)) is not None and status.forced is not None,
    ),
]
