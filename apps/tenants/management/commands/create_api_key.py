from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from apps.tenants.keys import create_api_key
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction


class Command(BaseCommand):
    help = "Make an API key and print it, alone, on standard output. It can't be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="the tenant's id or exact name")
        parser.add_argument("--role", required=True, choices=Role.values)
        parser.add_argument("--name", default="", help="what the key is for")

    def handle(self, *, tenant: str, role: str, name: str, **options: Any) -> None:
        with system_transaction():
            _, key = create_api_key(tenant=_find(tenant), role=Role(role), name=name)
        self.stdout.write(key)


def _find(words: str) -> Tenant:
    found = list(Tenant.objects.filter(Q(name=words) | Q(pk=_id(words)))[:2])
    if not found:
        raise CommandError(f"There is no tenant with the name or id “{words}”; see the tenants in the admin.")
    if len(found) > 1:
        raise CommandError(f"Several tenants are called “{words}”: give the id of one.")
    return found[0]


def _id(words: str) -> UUID | None:
    try:
        return UUID(words)
    except ValueError:
        return None
