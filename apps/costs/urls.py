from django.urls import path

from apps.costs.views import reports

urlpatterns = [
    path("costs/stats", reports.CostStats.as_view()),
    path("costs/breakdown", reports.CostBreakdown.as_view()),
]
