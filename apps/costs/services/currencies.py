"""In which currency a tenant sees its costs, and by which rates. The ledger is in dollars throughout."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from django.db import connection
from django.db.models import Q

from apps.common.errors import InvalidInputError
from apps.common.money import LEDGER_CURRENCY
from apps.costs.currencies import CODE, Conversion, conversion
from apps.costs.exchange_files import ReadRate
from apps.costs.models import ExchangeRate
from apps.tenants.models import Tenant

# Rows of one statement.
_AT_ONCE = 5000
_RATES = """
SELECT date, per_usd FROM costs_exchangerate
WHERE currency = %(currency)s AND date <= %(until)s AND date >= coalesce(
    (SELECT max(date) FROM costs_exchangerate WHERE currency = %(currency)s AND date <= %(since)s), %(since)s)
ORDER BY date
"""


@dataclass(frozen=True, slots=True)
class Imported:
    """Rates that were entered, that were there already, and that took another's place."""

    entered: int
    unchanged: int
    replaced: int


class RatesDifferError(InvalidInputError):
    """There are other rates of the same days; `lines` says which."""

    code = "rates_differ"

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__(
            f"{len(lines)} rates differ from those that are entered: replace them, or leave them out."
        )
        self.lines = lines


class NoRatesError(InvalidInputError):
    """Amounts can't be shown in the currency yet."""

    code = "no_rates"


def conversion_for(*, currency: str, since: date, until: date, present_month: date) -> Conversion | None:
    """How amounts of some days are shown in a currency, by one small query; None for the ledger's own."""
    if currency == LEDGER_CURRENCY:
        return None
    with connection.cursor() as cursor:
        cursor.execute(_RATES, {"currency": currency, "since": since, "until": until})
        rates = cursor.fetchall()
    return conversion(currency=currency, since=since, until=until, present_month=present_month, rates=rates)


def choose_currency(*, tenant: Tenant, currency: str, without_rates: bool = False) -> bool:
    """Let a tenant see its costs in a currency. Returns whether there is a rate of it yet.

    Raises InvalidInputError, NoRatesError (there is no rate of it, and it isn't asked for `without_rates`).
    """
    if not re.fullmatch(CODE, currency):
        raise InvalidInputError(
            f"“{currency}” is no currency: give its three capital letters, as EUR.",
            fields={"currency": "Three capital letters, as EUR."},
        )
    known = has_rates(currency)
    if not (known or without_rates):
        raise NoRatesError(
            f"There is no rate of {currency}; {_currencies_with_rates()}.",
            fields={"currency": "Choose one that there is a rate of, or enter its rates first."},
        )
    tenant.currency = currency
    tenant.save(update_fields=["currency"])
    return known


def has_rates(currency: str) -> bool:
    """Whether amounts can be shown in a currency at all."""
    return currency == LEDGER_CURRENCY or ExchangeRate.objects.filter(currency=currency).exists()


def currencies_with_rates() -> list[str]:
    """Those that there is a rate of, by their codes."""
    rates = ExchangeRate.objects.order_by("currency")
    return list(rates.values_list("currency", flat=True).distinct())


def _currencies_with_rates() -> str:
    codes = currencies_with_rates()
    return f"there are rates of {', '.join(codes)}" if codes else "no rates have been entered"


def import_rates(*, rates: Sequence[ReadRate], source: str, replace: bool = False) -> Imported:
    """Enter rates, each currency's of a day once. All of them, or none.

    What is entered already with the same rate stays. Raises RatesDifferError for another rate, unless
    `replace`.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('costs_exchangerate import'))")
    entered = unchanged = replaced = 0
    differing: list[str] = []
    for some in _chunks(rates):
        there = {(each.currency, each.date): each for each in _existing(some)}
        new = [each for each in some if (each.currency, each.date) not in there]
        changed = [
            (each, there[each.currency, each.date])
            for each in some
            if (each.currency, each.date) in there and there[each.currency, each.date].per_usd != each.per_usd
        ]
        unchanged += len(some) - len(new) - len(changed)
        if changed and not replace:
            differing += [
                f"line {each.line}: {old} is entered at {old.per_usd.normalize():f}" for each, old in changed
            ]
            continue
        entered += len(_enter(new, source))
        replaced += _replace([(each, old) for each, old in changed], source)
    if differing:
        raise RatesDifferError(differing)
    return Imported(entered, unchanged, replaced)


def _chunks(rates: Sequence[ReadRate]) -> Iterator[Sequence[ReadRate]]:
    for first in range(0, len(rates), _AT_ONCE):
        yield rates[first : first + _AT_ONCE]


def _existing(rates: Sequence[ReadRate]) -> Iterator[ExchangeRate]:
    days = [each.date for each in rates]
    found = Q(date__range=(min(days), max(days)), currency__in={each.currency for each in rates})
    return ExchangeRate.objects.filter(found).iterator()


def _enter(rates: Sequence[ReadRate], source: str) -> list[ExchangeRate]:
    return ExchangeRate.objects.bulk_create(
        ExchangeRate(currency=each.currency, date=each.date, per_usd=each.per_usd, source=source)
        for each in rates
    )


def _replace(changed: Sequence[tuple[ReadRate, ExchangeRate]], source: str) -> int:
    for each, row in changed:
        row.per_usd, row.source = each.per_usd, source
    return ExchangeRate.objects.bulk_update([row for _, row in changed], ["per_usd", "source"])
