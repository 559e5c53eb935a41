"""Every path of the product. Each app lists its own; a path that isn't listed is a 404 in the API's shape."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularSwaggerView

from apps.analytics.costs_page import costs_page
from apps.common.api.schema import SchemaView

urlpatterns = [
    path("admin/analytics/costs/", admin.site.admin_view(costs_page), name="admin_costs"),
    path("admin/", admin.site.urls),
    path("api/schema", SchemaView.as_view(), name="schema"),
    path("api/docs", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("api/", include("apps.operations.urls")),
    path("api/", include("apps.flags.urls")),
    path("api/v2/", include("apps.notifications.urls")),
    path("api/v2/", include("apps.messaging.urls")),
    path("api/", include("apps.ai.urls")),
    path("api/", include("apps.content.urls")),
    path("api/v2/", include("apps.campaigns.urls")),
    path("api/v2/", include("apps.costs.urls")),
    path("api/v2/", include("apps.analytics.urls")),
]
handler400 = "apps.common.api.fallback.bad_request"
handler403 = "apps.common.api.fallback.permission_denied"
handler404 = "apps.common.api.fallback.not_found"
handler500 = "apps.common.api.fallback.server_error"
