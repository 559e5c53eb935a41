from django.urls import path

from apps.ai.views import generations, observation, optimisation, questions

urlpatterns = [
    path("ai-assistant/generate", questions.Assistant.as_view()),
    path("health/hybrid-orchestrator", observation.OrchestratorHealth.as_view()),
    path("metrics/orchestrator", observation.OrchestratorMetrics.as_view()),
    path("v2/costs/optimization", optimisation.Optimisation.as_view()),
    path("v2/costs/optimization/<uuid:recommendation_id>", optimisation.OptimisationDetail.as_view()),
    path("v2/costs/optimize", optimisation.Optimise.as_view()),
    path("v2/generations", generations.Generations.as_view()),
    path("v2/generations/<uuid:generation_id>", generations.GenerationDetail.as_view(), name="generation"),
]
