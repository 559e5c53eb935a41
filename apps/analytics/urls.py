from django.urls import path

from apps.analytics.views import economics, revenue

urlpatterns = [
    path("analytics/economics", economics.UnitEconomics.as_view()),
    path("analytics/revenue", revenue.Revenue.as_view()),
    path("campaigns/costs/<uuid:campaign_id>", economics.CampaignCosts.as_view()),
]
