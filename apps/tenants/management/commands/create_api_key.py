from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.common.errors import DomainError
from apps.tenants.keys import create_api_key
from apps.tenants.models import Role
from apps.tenants.services.tenants import tenant_named
from apps.tenants.system import system_transaction


class Command(BaseCommand):
    help = "Make an API key and print it, alone, on standard output. It can't be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="the tenant's id or exact name")
        parser.add_argument("--role", required=True, choices=Role.values)
        parser.add_argument("--name", default="", help="what the key is for")

    def handle(self, *, tenant: str, role: str, name: str, **options: Any) -> None:
        try:
            with system_transaction():
                _, key = create_api_key(tenant=tenant_named(tenant), role=Role(role), name=name)
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(key)
