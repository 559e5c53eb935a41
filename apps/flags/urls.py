from django.urls import path

from apps.flags import views

urlpatterns = [path("admin/feature-flags", views.FeatureFlags.as_view())]
