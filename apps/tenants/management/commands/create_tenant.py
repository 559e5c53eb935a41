import sys
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from apps.common.errors import DomainError
from apps.tenants.services.tenants import create_tenant
from apps.tenants.system import system_transaction


class Command(BaseCommand):
    help = "Make a tenant and its owner. A user of that e-mail becomes the owner and keeps their password."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the agency's name")
        parser.add_argument("--email", required=True, help="the owner's e-mail")
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the owner's password from standard input"
        )

    def handle(self, *, name: str, email: str, password_stdin: bool, **options: Any) -> None:
        given = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
        try:
            if given is not None:
                validate_password(given)
            with system_transaction():
                founded = create_tenant(name=name, email=email, password=given)
        except (DomainError, ValidationError) as error:
            raise CommandError("; ".join(_messages(error))) from error
        self.stdout.write(f"tenant {founded.tenant.pk}\nowner {founded.owner.email}")
        if founded.password:
            self.stdout.write(f"password {founded.password}")
        if not founded.owner_is_new:
            self.stderr.write("This user was known already, and keeps the password they have.")


def _messages(error: DomainError | ValidationError) -> list[str]:
    if isinstance(error, DomainError):
        return [error.message]
    if hasattr(error, "error_dict"):
        return [f"{field}: {text}" for field, texts in error.message_dict.items() for text in texts]
    return error.messages
