from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.common.errors import DomainError
from apps.costs.services import rollups
from apps.tenants.services.tenants import tenant_named
from apps.tenants.system import system_transaction


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day: give one as 2026-03-14") from None


class Command(BaseCommand):
    help = "Make the roll-ups of some days anew from the ledger; without days, of all that it keeps."

    def add_arguments(self, parser: ArgumentParser) -> None:
        for name, dest, text in (
            ("--from", "since", "the first day, of the tenant's calendar"),
            ("--to", "until", "the last day"),
        ):
            parser.add_argument(name, dest=dest, type=_day, metavar="YYYY-MM-DD", help=text)
        parser.add_argument("--tenant", help="this one's alone, by id or exact name")

    def handle(self, *, since: date | None, until: date | None, tenant: str | None, **options: Any) -> None:
        try:
            tenant_id = None
            if tenant is not None:
                with system_transaction():
                    tenant_id = tenant_named(tenant).pk
            rollups.recompute(since=since, until=until, tenant_id=tenant_id)
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write("The roll-ups are made anew.")
