"""Amounts of the ledger in another currency, day by day. Arithmetic alone: rates come from rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

CODE = r"^[A-Z]{3}$"
# The codes of ISO 4217 that are legal tender somewhere, as Unicode's CLDR has them (currencyData).
_IN_USE = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF "
    "CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ "
    "GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP "
    "LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR "
    "PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SYP "
    "SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG XOF XPF YER "
    "ZAR ZMW ZWG"
)
IN_USE = tuple(_IN_USE.split())
LOWEST_RATE, HIGHEST_RATE = Decimal("0.000001"), Decimal(1_000_000_000)

_PLACES = Decimal(1).scaleb(-10)
_EXACT = Context(prec=60)


@dataclass(frozen=True, slots=True)
class Conversion:
    """Into which currency, and what a dollar is in it on each day and in each month that is read as a whole.

    `whole_before` is the first day of the present month, from which on days are read. Where a month before
    it is read as a whole, every amount in it is converted at the rate of its last day.
    """

    currency: str
    whole_before: date
    days: Mapping[date, Decimal] = field(default_factory=dict)
    months: Mapping[date, Decimal] = field(default_factory=dict)
    missing: str | None = None


def conversion(
    *, currency: str, since: date, until: date, present_month: date, rates: Sequence[tuple[date, Decimal]]
) -> Conversion:
    """For the days of a range; `rates` are those in it and the last before it, the oldest first.

    A day has the latest rate on or before it. Without one, it has none, and `missing` says so.
    """
    days = dict(_carried(since, _month_end(until), rates))
    # A month's rate is its last day's, also where the range ends before that.
    ends = [_month_end(first) for first in _months(since, until)]
    months = {end.replace(day=1): days[end] for end in ends if end in days}
    return Conversion(
        currency=currency,
        whole_before=present_month,
        days=days,
        months=months,
        missing=_missing(currency, since, days),
    )


def converted(amount: Decimal) -> Decimal:
    """A sum of converted amounts as it is shown: to ten places, like the ledger's own."""
    return amount.quantize(_PLACES, rounding=ROUND_HALF_EVEN, context=_EXACT)


def times(dollars: Decimal, per_usd: Decimal) -> Decimal:
    """An amount at a rate, as it is shown."""
    return converted(_EXACT.multiply(dollars, per_usd))


def _carried(
    since: date, until: date, rates: Sequence[tuple[date, Decimal]]
) -> Iterator[tuple[date, Decimal]]:
    ends = [start for start, _ in rates[1:]] + [until + timedelta(days=1)]
    for (start, rate), end in zip(rates, ends, strict=False):
        day = max(start, since)
        while day < min(end, until + timedelta(days=1)):
            yield day, rate
            day += timedelta(days=1)


def _months(since: date, until: date) -> Iterator[date]:
    month = since.replace(day=1)
    while month <= until:
        yield month
        month = (month + timedelta(days=32)).replace(day=1)


def _month_end(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def _missing(currency: str, since: date, days: Mapping[date, Decimal]) -> str | None:
    if not days:
        return f"There is no rate of {currency} for these days, so amounts are shown in USD alone."
    first = min(days)
    if first <= since:
        return None
    return (
        f"There is no rate of {currency} before {first}, so what includes earlier days is shown in USD alone."
    )
