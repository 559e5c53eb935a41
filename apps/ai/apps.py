from django.apps import AppConfig


class AIConfig(AppConfig):
    name = "apps.ai"
    verbose_name = "AI"
