"""Answers where no view of ours was reached: JSON below /api, Django's pages elsewhere."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from apps.common.api.errors import body


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return JsonResponse(body("bad_request", "The request can't be understood."), status=400)
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _is_api(request):
        return JsonResponse(body("permission_denied", "This isn't allowed."), status=403)
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    if _is_api(request):
        return JsonResponse(body("not_found", f"There is nothing at {request.path}."), status=404)
    return defaults.page_not_found(request, exception or Exception())


def server_error(request: HttpRequest, *args: Any) -> HttpResponse:
    if _is_api(request):
        text = "Something went wrong on our side. It has been logged."
        return JsonResponse(body("server_error", text), status=500)
    return defaults.server_error(request)


def _is_api(request: HttpRequest) -> bool:
    return request.path == "/api" or request.path.startswith("/api/")
