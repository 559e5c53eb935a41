from django.urls import path

from apps.operations import views

urlpatterns = [
    path("health", views.Health.as_view()),
    path("metrics", views.Metrics.as_view()),
]
