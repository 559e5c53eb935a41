"""Counts and times every request."""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram

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
        return response
