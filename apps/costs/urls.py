from django.urls import path

from apps.costs.views import budgets, forecasts, reports

urlpatterns = [
    path("costs/stats", reports.CostStats.as_view()),
    path("costs/breakdown", reports.CostBreakdown.as_view()),
    path("costs/budgets", budgets.Budgets.as_view()),
    path("costs/budgets/<uuid:budget_id>", budgets.BudgetDetail.as_view()),
    path("costs/thresholds", budgets.Thresholds.as_view()),
    path("costs/forecast", forecasts.CostForecast.as_view()),
]
