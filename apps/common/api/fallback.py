"""Answers where no view of ours was reached: JSON below /api, Django's pages elsewhere."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from apps.common.api.errors import body


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse(body("not_found", f"There is nothing at {request.path}."), status=404)
    return defaults.page_not_found(request, exception or Exception())


def server_error(request: HttpRequest, *args: Any) -> HttpResponse:
    if request.path.startswith("/api/"):
        text = "Something went wrong on our side. It has been logged."
        return JsonResponse(body("server_error", text), status=500)
    return defaults.server_error(request)
