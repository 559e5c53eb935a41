"""How the orchestrator is doing: for probes, and in figures for a tenant."""

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.ai import queries
from apps.ai.health import recent_orchestrator_health
from apps.ai.models import ModelClass
from apps.common.api.errors import body
from apps.common.api.fields import MoneyField
from apps.common.money import Money
from apps.costs.queries import cost_of_month
from apps.operations.views import ProbeView
from apps.tenants.views import TenantView

WINDOW = timedelta(hours=1)
# As platforms' breakers have them: one enumeration in the schema.
_BREAKER = [("closed", "Closed"), ("open", "Open"), ("half_open", "half-open")]
_HELD = [("open", "Open"), ("closed", "Closed")]


@extend_schema_field({"type": "number", "examples": [1.25]})
class SecondsField(serializers.Field[timedelta, Any, float, Any]):
    """A duration in seconds, to the millisecond."""

    def __init__(self, **options: Any) -> None:
        super().__init__(read_only=True, **options)

    def to_representation(self, value: timedelta) -> float:
        return round(value.total_seconds(), 3)


class DeploymentHealthSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    provider = serializers.CharField()
    model = serializers.CharField()
    model_class = serializers.ChoiceField(ModelClass.choices)
    enabled = serializers.BooleanField()
    obstacle = serializers.CharField(help_text="Why no call may go there now; empty if one may.")
    breaker = serializers.ChoiceField(_BREAKER)
    breaker_held = serializers.ChoiceField(
        _HELD,
        source="held",
        allow_null=True,
        help_text="The state in which an operator holds it, until it is given back in the admin, which says "
        "who and why; null while it opens and closes by itself.",
    )
    breaker_since = serializers.DateTimeField(
        allow_null=True, help_text="Since when it has been in its state; null if it never changed."
    )
    probe_in_s = SecondsField(source="probe_in", allow_null=True)
    cool_down_s = SecondsField(source="cool_down_left", allow_null=True)
    last_success_at = serializers.DateTimeField(allow_null=True)


class QueueHealthSerializer(serializers.Serializer[Any]):
    pending = serializers.IntegerField()
    running = serializers.IntegerField()
    oldest_due_age_s = SecondsField(source="oldest_due_age")


class OrchestratorHealthSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["ok", "degraded", "down"])
    problems = serializers.ListField(child=serializers.CharField())
    providers = serializers.DictField(child=serializers.ChoiceField(["configured", "not configured"]))
    deployments = DeploymentHealthSerializer(many=True)
    queue = QueueHealthSerializer(allow_null=True, help_text="Null where the database does not answer.")


class OrchestratorHealth(ProbeView):
    @extend_schema(
        operation_id="orchestrator_health",
        tags=["operations"],
        responses={
            200: OrchestratorHealthSerializer,
            503: OpenApiResponse(OrchestratorHealthSerializer, "No text can be had from any deployment."),
        },
    )
    def get(self, request: Request) -> Response:
        """Whether questions can be answered, and by whom, as of the last second."""
        health = recent_orchestrator_health.get()
        answer = OrchestratorHealthSerializer(health).data
        if health.status != "down":
            return Response(answer)
        return Response(
            {**answer, **body("unavailable", " ".join(health.problems))},
            status=status.HTTP_503_SERVICE_UNAVAILABLE,
            headers={"Retry-After": "5"},
        )


class LatencySerializer(serializers.Serializer[Any]):
    p50 = SecondsField(allow_null=True)
    p95 = SecondsField(allow_null=True)


class BreakerSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    breaker = serializers.ChoiceField(_BREAKER)
    obstacle = serializers.CharField()


class OrchestratorMetricsSerializer(serializers.Serializer[Any]):
    """The context brings `since`, `cost` and `deployments`."""

    since = serializers.SerializerMethodField(help_text="Questions asked since then are counted.")
    generations = serializers.DictField(
        source="by_state", child=serializers.IntegerField(), help_text="Questions by state, replays aside."
    )
    answers = serializers.DictField(
        source="by_source", child=serializers.IntegerField(), help_text="Answers by where they came from."
    )
    latency_s = LatencySerializer(source="*", help_text="From a question's beginning to its answer.")
    cache_hit_ratio = serializers.FloatField(source="hit_ratio", allow_null=True)
    cost_this_month = serializers.SerializerMethodField(
        help_text="By the tenant's calendar, replays included."
    )
    deployments = serializers.SerializerMethodField()

    def get_since(self, figures: queries.Figures) -> datetime:
        since: datetime = self.context["since"]
        return since

    @extend_schema_field(MoneyField())
    def get_cost_this_month(self, figures: queries.Figures) -> dict[str, str]:
        cost: Money = self.context["cost"]
        return MoneyField().to_representation(cost)

    @extend_schema_field(BreakerSerializer(many=True))
    def get_deployments(self, figures: queries.Figures) -> Any:
        return BreakerSerializer(self.context["deployments"], many=True).data


class OrchestratorMetrics(TenantView):
    serializer_class = OrchestratorMetricsSerializer

    @extend_schema(operation_id="orchestrator_metrics", tags=["operations"])
    def get(self, request: Request) -> Response:
        """The last hour of the tenant's questions to the AI, and what this month's have cost so far."""
        now = timezone.now()
        since = now - WINDOW
        figures = queries.figures(tenant_id=self.tenant.pk, since=since)
        cost = cost_of_month(tenant_id=self.tenant.pk, time_zone=self.tenant.time_zone, now=now)
        self.end_transaction()  # the breakers may be asked over the network
        context = {
            "since": since,
            "cost": cost,
            "deployments": recent_orchestrator_health.get().deployments,
        }
        return Response(self.get_serializer(figures, context=context).data)
