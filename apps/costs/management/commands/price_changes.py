import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.common.errors import DomainError
from apps.common.money import plain
from apps.costs.price_list import PROVIDERS, source
from apps.costs.services.price_changes import (
    Comparison,
    PriceChange,
    check_start,
    compare_prices,
    import_prices,
)
from apps.tenants.system import system_transaction

DIFFERENT = 3
_LINE = "{:<8} {:<32} {:<26} {:>12} {:>12} {:>9}"


def _instant(text: str) -> datetime:
    """A day's first instant in UTC, or an instant with its offset."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is neither a day nor an instant of ISO 8601") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = (
        "Show where our prices differ from the list of genai-prices, or enter its rates from an instant on. "
        f"Ends with 0 if nothing differs or all was entered, with {DIFFERENT} if something differs and "
        "nothing was entered, with 1 if it refuses."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--from",
            dest="starts_at",
            type=_instant,
            metavar="WHEN",
            help="compare what is in force then, and enter from then on; a day or an instant, in UTC unless "
            "it has an offset, and none that has passed. The next midnight in UTC by default",
        )
        parser.add_argument("--provider", choices=PROVIDERS, help="this one's prices alone")
        parser.add_argument(
            "--model",
            dest="models",
            action="append",
            metavar="MODEL",
            help="this one's alone; may be repeated",
        )
        group = parser.add_mutually_exclusive_group()
        group.add_argument("--import", dest="enter", action="store_true", help="enter the list's rates")
        group.add_argument("--dry-run", action="store_true", help="only show them, as without --import")

    def handle(
        self,
        *,
        starts_at: datetime | None,
        provider: str | None,
        models: list[str] | None,
        enter: bool,
        **options: Any,
    ) -> None:
        now = timezone.now()
        at = starts_at or datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), tzinfo=UTC)
        try:
            check_start(at, now=now)
            with system_transaction():
                found = compare_prices(
                    at=at, providers=[provider] if provider else PROVIDERS, models=models or ()
                )
                entered = import_prices(changes=found.changes, starts_at=at, now=now) if enter else 0
        except DomainError as error:
            raise CommandError(error.message) from error
        self._show(found, verbose=options["verbosity"] > 1)
        if enter:
            self._tell(entered, of=len(found.changes), at=at)
        elif found.changes:
            self.stdout.write(f"{len(found.changes)} models differ from {source()}. Nothing was entered.")
            sys.exit(DIFFERENT)
        else:
            self.stdout.write(f"Our prices are those of {source()}.")

    def _tell(self, entered: int, *, of: int, at: datetime) -> None:
        self.stdout.write(f"{entered} prices entered from {at.isoformat()} on.")
        if entered < of:
            raise CommandError(
                f"{of - entered} models have a price from that very instant, which stays: change it in the "
                "admin while it hasn't begun, or give another --from."
            )

    def _show(self, found: Comparison, *, verbose: bool) -> None:
        if found.changes:
            self.stdout.write(_LINE.format("provider", "model", "USD per million", "ours", "theirs", "%"))
        for change in found.changes:
            for line in _lines(change):
                self.stdout.write(line)
        if not verbose:
            return
        for (provider, model), why in found.unusable.items():
            self.stdout.write(f"{provider} {model} is left out: {why}.")
        for provider, model in found.unlisted:
            self.stdout.write(f"{provider} {model} has a price of ours, and the list doesn't know it.")


def _lines(change: PriceChange) -> list[str]:
    return [
        _LINE.format(
            change.provider,
            change.model,
            each.rate.removesuffix("_per_million").replace("_", " "),
            _rate(each.ours),
            _rate(each.theirs),
            "" if each.percent is None else f"{each.percent:+.1f}",
        ).rstrip()
        for each in change.differences
    ]


def _rate(value: Decimal | None) -> str:
    return "none" if value is None else plain(value)
