from django.urls import path

from apps.notifications.views import alerts, targets

urlpatterns = [
    path("costs/alerts", alerts.Alerts.as_view()),
    path("costs/alerts/<uuid:alert_id>", alerts.AlertDetail.as_view()),
    path("costs/alerts/<uuid:alert_id>/acknowledge", alerts.AcknowledgeAlert.as_view()),
    path("costs/alerts/<uuid:alert_id>/mute", alerts.MuteAlert.as_view()),
    path("costs/alerts/<uuid:alert_id>/unmute", alerts.UnmuteAlert.as_view()),
    path("costs/targets", targets.Targets.as_view()),
    path("costs/targets/<uuid:target_id>", targets.TargetDetail.as_view()),
    path("costs/targets/<uuid:target_id>/test", targets.TestTarget.as_view()),
]
