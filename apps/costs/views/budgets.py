"""Ceilings on what may be spent, and how they stand."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.common.api.schema import IDEMPOTENCY_KEY
from apps.common.errors import NotFoundError
from apps.costs.display import AtOneRate
from apps.costs.filters import BudgetFilter
from apps.costs.models import Budget
from apps.costs.periods import period_start
from apps.costs.serializers.budgets import (
    BudgetChanges,
    BudgetRequest,
    BudgetSerializer,
    ThresholdsRequest,
    ThresholdsSerializer,
)
from apps.costs.services import budgets
from apps.costs.subjects import subject_problem
from apps.tenants.views import TenantView

_BUDGET = OpenApiExample(
    "In shadow mode",
    response_only=True,
    value={
        "id": "0197f3a0-9d2f-7e7c-8a6f-3b5d7f9c1e20",
        "scope": "tenant",
        "scope_id": None,
        "provider": None,
        "period": "month",
        "limit": {"amount": "50.00", "currency": "USD"},
        "display": {"amount": "46.00", "currency": "EUR"},
        "mode": "shadow",
        "thresholds": [50, 80, 100],
        "is_active": True,
        "current": {
            "start": "2026-02-28T23:00:00Z",
            "end": "2026-03-31T22:00:00Z",
            "spent": {"amount": "49.875", "currency": "USD"},
            "held": {"amount": "0.24", "currency": "USD"},
            "remaining": {"amount": "0.00", "currency": "USD"},
            "display": {
                "spent": {"amount": "45.885", "currency": "EUR"},
                "held": {"amount": "0.2208", "currency": "EUR"},
                "remaining": {"amount": "0.00", "currency": "EUR"},
            },
            "percent": 99.7,
            "exhausted": False,
            "shadow": {
                "calls": 1,
                "amount": {"amount": "0.24", "currency": "USD"},
                "display": {"amount": "0.2208", "currency": "EUR"},
            },
        },
        "created_at": "2026-03-01T08:00:00Z",
        "display_currency": "EUR",
        "display_missing": None,
    },
)
_MAKE = [
    OpenApiExample(
        "For all of the tenant's calls",
        request_only=True,
        value={"period": "month", "limit": {"amount": "50.00", "currency": "USD"}, "mode": "shadow"},
    ),
    OpenApiExample(
        "For one campaign",
        request_only=True,
        value={
            "scope": "campaign",
            "scope_id": "0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f",
            "period": "day",
            "limit": "2.50",
            "thresholds": [75, 90, 100],
        },
    ),
    OpenApiExample(
        "For one provider",
        request_only=True,
        value={"scope": "provider", "provider": "azure", "limit": "20.00", "mode": "stop"},
    ),
]
_CHANGE = OpenApiExample(
    "Stop from now on", request_only=True, value={"limit": {"amount": "60.00"}, "mode": "stop"}
)
_THRESHOLDS = [
    OpenApiExample(
        "Of every budget", request_only=True, value={"budget": None, "thresholds": [50, 75, 90, 100]}
    ),
    OpenApiExample(
        "Of every budget", response_only=True, value={"budgets": 3, "thresholds": [50, 75, 90, 100]}
    ),
]
_TAGS = ["costs"]


class BudgetView(TenantView):
    serializer_class = BudgetSerializer

    def get_serializer_context(self) -> dict[str, Any]:
        now = timezone.now()
        today = period_start("day", at=now, time_zone=self.tenant.time_zone)
        return {**super().get_serializer_context(), "now": now, "shown": AtOneRate.of(self.tenant, day=today)}

    def get_queryset(self) -> QuerySet[Budget]:
        return Budget.objects.filter(tenant_id=self.tenant.pk).with_present(at=timezone.now())

    def budget(self, budget_id: UUID) -> Budget:
        """Raises NotFoundError."""
        budget = self.get_queryset().filter(pk=budget_id).first()
        if budget is None:
            raise NotFoundError("There is no such budget.")
        return budget


class Budgets(BudgetView):
    filterset_class = BudgetFilter

    @extend_schema(
        operation_id="list_budgets", tags=_TAGS, responses=BudgetSerializer(many=True), examples=[_BUDGET]
    )
    def get(self, request: Request) -> Response:
        """Ceilings on what may be spent, newest first, each with its present period."""
        return self.page(self.get_queryset())

    @extend_schema(
        operation_id="make_budget",
        tags=_TAGS,
        parameters=[IDEMPOTENCY_KEY],
        request=BudgetRequest,
        responses={201: BudgetSerializer},
        examples=[*_MAKE, _BUDGET],
    )
    def post(self, request: Request) -> Response:
        """Set a ceiling. What its present period has spent and holds counts from the start.

        There is one at most for the same scope and period: a second one is refused with 409, whose
        `fields` have the first one's id as `budget`. One that is switched off is there, too.
        """
        return self.once(self._create)

    def _create(self) -> Response:
        body = BudgetRequest(data=self.request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        if problem := subject_problem(
            tenant_id=self.tenant.pk, scope=given["scope"], scope_id=given["scope_id"]
        ):
            raise NotFoundError(problem, fields={"scope_id": problem})
        made = budgets.create_budget(tenant_id=self.tenant.pk, now=timezone.now(), **given)
        return Response(self.get_serializer(self.budget(made.pk)).data, status=status.HTTP_201_CREATED)


class BudgetDetail(BudgetView):
    @extend_schema(operation_id="budget", tags=_TAGS, examples=[_BUDGET])
    def get(self, request: Request, budget_id: UUID) -> Response:
        """A budget, and how its present period stands."""
        return Response(self.get_serializer(self.budget(budget_id)).data)

    @extend_schema(
        operation_id="change_budget",
        tags=_TAGS,
        request=BudgetChanges,
        responses=BudgetSerializer,
        examples=[_CHANGE, _BUDGET],
    )
    def patch(self, request: Request, budget_id: UUID) -> Response:
        """Change what is given. What a budget is for, and its period, stay: another one is made for those.

        None is deleted, since its counters are what its past periods have spent: it is switched off.

        A limit below what is spent is allowed: `exhausted` says so, and so does the alert budget_exceeded.
        """
        body = BudgetChanges(data=request.data)
        body.is_valid(raise_exception=True)
        budgets.change_budget(budget=self.budget(budget_id), now=timezone.now(), **body.validated_data)
        return Response(self.get_serializer(self.budget(budget_id)).data)


class Thresholds(TenantView):
    serializer_class = ThresholdsSerializer

    @extend_schema(
        operation_id="set_thresholds",
        tags=_TAGS,
        parameters=[IDEMPOTENCY_KEY],
        request=ThresholdsRequest,
        responses=ThresholdsSerializer,
        examples=_THRESHOLDS,
    )
    def post(self, request: Request) -> Response:
        """Set the percentages at which a budget alerts, or at which all of them do that there are now.

        They take the place of those before. One that is below what is spent alerts at once.
        """
        return self.once(self._set)

    def _set(self) -> Response:
        body = ThresholdsRequest(data=self.request.data)
        body.is_valid(raise_exception=True)
        percentages = body.validated_data["thresholds"]
        changed = budgets.set_thresholds(
            tenant_id=self.tenant.pk,
            thresholds=percentages,
            now=timezone.now(),
            budget_id=body.validated_data["budget"],
        )
        return Response(self.get_serializer({"budgets": changed, "thresholds": percentages}).data)
