from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from apps.common.errors import DomainError
from apps.tenants.services.tenants import create_tenant
from apps.tenants.system import system_transaction


class Command(BaseCommand):
    help = (
        "Make a tenant and its owner, and print their ids; the owner's is what the API calls a user. Whoever "
        "has that e-mail already becomes the owner; somebody new has no password: the API takes keys alone."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the agency's name")
        parser.add_argument("--email", required=True, help="the owner's e-mail")

    def handle(self, *, name: str, email: str, **options: Any) -> None:
        try:
            with system_transaction():
                founded = create_tenant(name=name, email=email)
        except (DomainError, ValidationError) as error:
            raise CommandError("; ".join(_messages(error))) from error
        self.stdout.write(f"tenant {founded.tenant.pk}\nowner {founded.owner.pk}")
        if not founded.owner_is_new:
            self.stderr.write(f"{founded.owner.email} was a user already.")


def _messages(error: DomainError | ValidationError) -> list[str]:
    if isinstance(error, DomainError):
        return [error.message]
    return [f"{field}: {text}" for field, texts in error.message_dict.items() for text in texts]
