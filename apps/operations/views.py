from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from prometheus_client.exposition import choose_encoder
from rest_framework import serializers, status
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.common.api.errors import body
from apps.operations.health import recent_health
from apps.operations.metrics import registry
from apps.operations.scrapers import check_scraper


class AnyAccept(BaseContentNegotiation):
    """Probes and scrapers ask for whatever; they get what there is."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class ProbeView(APIView):
    """Without a caller's key, and independent of the database that a key would be looked up in."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = AnyAccept


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["ok", "down"])
    checks = serializers.DictField(child=serializers.CharField())


class Health(ProbeView):
    @extend_schema(
        operation_id="health",
        tags=["operations"],
        responses={200: HealthSerializer, 503: OpenApiResponse(HealthSerializer, "Something is down.")},
        examples=[
            OpenApiExample(
                "Well",
                response_only=True,
                status_codes=["200"],
                value={
                    "status": "ok",
                    "checks": dict.fromkeys(["database", "migrations", "redis", "broker", "dispatch"], "ok"),
                },
            )
        ],
    )
    def get(self, request: Request) -> Response:
        """Whether this process and everything that it depends on is there, as of the last second."""
        health = recent_health.get()
        if not health.down:
            return Response({"status": "ok", "checks": health.checks})
        text = "; ".join(f"{name}: {reason}" for name, reason in health.down.items())
        return Response(
            {"status": "down", "checks": health.checks, **body("unavailable", f"{text}.", health.down)},
            status=status.HTTP_503_SERVICE_UNAVAILABLE,
            headers={"Retry-After": "5"},
        )


class Metrics(ProbeView):
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        check_scraper(request._request)

    @extend_schema(
        operation_id="metrics", tags=["operations"], responses={(200, "text/plain"): OpenApiTypes.STR}
    )
    def get(self, request: Request) -> HttpResponse:
        """Figures for Prometheus, for who has HUNTAZE_METRICS_TOKEN; without one, for this machine alone."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return HttpResponse(encode(registry()), content_type=content_type)
