from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.common.errors import DomainError
from apps.costs.services.currencies import NoRatesError, choose_currency
from apps.tenants.services.tenants import tenant_named
from apps.tenants.system import system_transaction


class Command(BaseCommand):
    help = "Choose the currency in which a tenant sees its costs besides US dollars."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="by id or exact name")
        parser.add_argument("currency", help="its three capital letters; USD for none besides")

        parser.add_argument(
            "--without-rates", action="store_true", help="also one whose rates are yet to be entered"
        )

    def handle(self, *, tenant: str, currency: str, without_rates: bool, **options: Any) -> None:
        try:
            with system_transaction():
                found = tenant_named(tenant)
                known = choose_currency(tenant=found, currency=currency, without_rates=without_rates)
        except NoRatesError as error:
            raise CommandError(f"{error.message} Enter its rates first, or say --without-rates.") from error
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"{found.name} sees its costs in {currency}.")
        if not known:
            self.stderr.write(f"There is no rate of {currency} yet, so only USD is shown: enter rates.")
