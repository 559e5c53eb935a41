from django.urls import path

from apps.campaigns import views

urlpatterns = [
    path("campaigns", views.Campaigns.as_view()),
    path("campaigns/hybrid", views.HybridCampaigns.as_view()),
    path("campaigns/status", views.CampaignStatuses.as_view()),
    path("campaigns/status/<uuid:campaign_id>", views.CampaignStatusDetail.as_view(), name="campaign-status"),
    path("campaigns/<uuid:campaign_id>/preview", views.CampaignPreview.as_view()),
    path("campaigns/<uuid:campaign_id>/approve", views.ApproveCampaign.as_view()),
    path("campaigns/<uuid:campaign_id>/reject", views.RejectCampaign.as_view()),
    path("campaigns/<uuid:campaign_id>/pause", views.PauseCampaign.as_view()),
    path("campaigns/<uuid:campaign_id>/resume", views.ResumeCampaign.as_view()),
    path("campaigns/<uuid:campaign_id>/cancel", views.CancelCampaign.as_view()),
]
