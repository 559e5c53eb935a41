"""The operator's admin as a whole: it sees every tenant, and loads nothing from elsewhere."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from unfold.sites import UnfoldAdminSite

from apps.tenants.system import system_transaction

# Alpine, which Unfold is built on, evaluates expressions; its widgets set styles.
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)

View = Callable[..., HttpResponseBase]


class OperatorSite(UnfoldAdminSite):  # type: ignore[misc]  # Unfold is untyped
    """Every page behind the sign-in runs, and is rendered, in one transaction of the system's door.

    Signing in and out work outside of it: they touch users and sessions alone. So does a view that asks
    something over the network in between, and says so (`opens_doors_itself`).
    """

    index_title = "Overview"
    index_template = "admin/dashboard.html"

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        if getattr(view, "opens_doors_itself", False):
            return _guarded(super().admin_view(view, cacheable))

        @wraps(view)
        def inside(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            with system_transaction():
                response = view(request, *args, **kwargs)
                if isinstance(response, SimpleTemplateResponse):
                    response.render()
            return response

        return _guarded(super().admin_view(inside, cacheable))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        return _guarded(super().login)(request, extra_context)


def _guarded(view: View) -> View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(*args, **kwargs)
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response

    return guarded
