from django.urls import path

from apps.ai.views import generations, observation, questions

urlpatterns = [
    path("ai-assistant/generate", questions.Assistant.as_view()),
    path("health/hybrid-orchestrator", observation.OrchestratorHealth.as_view()),
    path("metrics/orchestrator", observation.OrchestratorMetrics.as_view()),
    path("v2/generations", generations.Generations.as_view()),
    path("v2/generations/<uuid:generation_id>", generations.GenerationDetail.as_view(), name="generation"),
]
