from typing import Any

from django.core.management import BaseCommand, call_command


class Command(BaseCommand):
    """Bring an installation up to date. Harmless to run again, and before every start."""

    help = "Migrate, collect static files, and make what a first start needs (login, deployments, prices)."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        call_command("ensure_admin")
        call_command("ensure_deployments")
