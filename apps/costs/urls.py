from django.urls import path

from apps.costs.views import forecasts, reports

urlpatterns = [
    path("costs/stats", reports.CostStats.as_view()),
    path("costs/breakdown", reports.CostBreakdown.as_view()),
    path("costs/forecast", forecasts.CostForecast.as_view()),
]
