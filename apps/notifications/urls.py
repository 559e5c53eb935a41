from django.urls import path

from apps.notifications import views

urlpatterns = [
    path("costs/alerts", views.Alerts.as_view()),
    path("costs/alerts/<uuid:alert_id>/acknowledge", views.AcknowledgeAlert.as_view()),
    path("costs/alerts/<uuid:alert_id>/mute", views.MuteAlert.as_view()),
    path("costs/alerts/<uuid:alert_id>/unmute", views.UnmuteAlert.as_view()),
]
