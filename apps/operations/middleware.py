"""Counts and times every request, and makes it a span where spans are wanted."""

import time
from collections.abc import Callable

from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram

from apps.operations import tallying, tracing

# Anything else that a client makes up is counted as one, or it could fill the memory with labels.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# The objectives are 0.1 s and 0.5 s; around them the buckets are close.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 0.75, 1, 2.5, 5, 10, 30)

requests_total = Counter("huntaze_requests", "HTTP requests answered.", ["method", "status"])
request_duration = Histogram(
    "huntaze_request_duration_seconds", "From the request's arrival to its answer.", buckets=BUCKETS
)


class RequestMetrics:
    """The outermost middleware: what the others take and answer counts too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        start = time.perf_counter()
        response = self.get_response(request)
        request_duration.observe(time.perf_counter() - start)
        method = request.method if request.method in METHODS else "other"
        requests_total.labels(method, response.status_code).inc()
        tallying.count(path=request.path, status=response.status_code, now=timezone.now())
        return response


class RequestSpans:
    """A span for each request of the API, in the caller's trace if it sends a `traceparent`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        if not tracing.is_on():
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Probes and scrapers ask every few seconds.
        if not request.path.startswith("/api/") or request.path.startswith(("/api/health", "/api/metrics")):
            return self.get_response(request)
        method = request.method if request.method in METHODS else "other"
        with tracing.continued(request.headers), tracing.span(method, kind=SpanKind.SERVER) as opened:
            response = self.get_response(request)
            opened.set_attributes(
                {"http.request.method": method, "http.response.status_code": response.status_code}
            )
            if request.resolver_match is not None:
                route = f"/{request.resolver_match.route}"
                opened.update_name(f"{method} {route}")
                opened.set_attribute("http.route", route)
            if response.status_code >= 500:
                tracing.fail(opened, str(response.status_code))
            return response
