from django.urls import path

from apps.content import views

urlpatterns = [
    path("content-ideas/generate", views.ContentIdeas.as_view()),
]
