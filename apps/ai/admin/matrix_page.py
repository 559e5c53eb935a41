"""The admin's page Fallback matrix: what is done about each kind of failure."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse

from apps.ai import matrix


def matrix_page(request: HttpRequest) -> TemplateResponse:
    if not request.user.has_perm("ai.view_deployment"):
        raise PermissionDenied
    context = {
        **admin.site.each_context(request),
        "title": "Fallback matrix",
        "table": {"headers": matrix.HEADERS, "rows": matrix.table()},
    }
    return TemplateResponse(request, "admin/matrix.html", context)
