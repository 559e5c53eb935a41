from typing import Any

from django.core.checks import Tags, run_checks
from django.core.management import BaseCommand, CommandError, call_command


class Command(BaseCommand):
    """Bring an installation up to date. Harmless to run again, and before every start."""

    help = "Migrate, collect static files, and make what a first start needs (login, deployments, prices)."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        for problem in run_checks(tags=[Tags.database], databases=["default"]):
            raise CommandError(f"{problem.msg} {problem.hint}")
        call_command("collectstatic", interactive=False, verbosity=0)
        call_command("ensure_admin")
        call_command("ensure_deployments")
