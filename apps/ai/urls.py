from django.urls import path

from apps.ai import observation_views, views

urlpatterns = [
    path("ai-assistant/generate", views.Assistant.as_view()),
    path("health/hybrid-orchestrator", observation_views.OrchestratorHealth.as_view()),
    path("metrics/orchestrator", observation_views.OrchestratorMetrics.as_view()),
    path("v2/generations", views.Generations.as_view()),
    path("v2/generations/<uuid:generation_id>", views.GenerationDetail.as_view(), name="generation"),
]
