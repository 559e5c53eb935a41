from django.urls import path

from apps.ai import views

urlpatterns = [
    path("generations", views.Generations.as_view()),
    path("generations/<uuid:generation_id>", views.GenerationDetail.as_view()),
]
