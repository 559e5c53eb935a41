from django.apps import AppConfig


class FlagsConfig(AppConfig):
    name = "apps.flags"
    verbose_name = "Flags"
