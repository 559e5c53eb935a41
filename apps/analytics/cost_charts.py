"""Costs as charts: what Chart.js, which comes with the admin, is given to draw. Pure.

Floats serve to place points; whatever is read as a number stands in the tables beside the charts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from apps.analytics.cost_ranges import Bar, Spend, Unit
from apps.common.money import LEDGER_CURRENCY
from apps.costs.forecasting.bands import DayBand

# Told apart in light and dark, and by people who see colours otherwise: Okabe and Ito's, but for the yellow.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
OTHERS = "others"
_GREY, _TEXT, _GRID = "#8b93a1", "#7a8290", "rgba(128, 128, 128, 0.25)"
_SPENT, _AHEAD, _LIMIT = "#0072b2", "#8b5cf6", "#dc2626"
_WIDE, _NARROW = "rgba(139, 92, 246, 0.16)", "rgba(139, 92, 246, 0.32)"
# A limit that is further above what may be spent would press everything else flat.
_IN_SIGHT = 3


@dataclass(frozen=True, slots=True)
class Chart:
    """`legend`: a name and the CSS colour of what is called so."""

    data: dict[str, Any]
    options: dict[str, Any]
    legend: tuple[tuple[str, str], ...]


def bars(spend: Spend) -> Chart:
    """What was spent, one bar upon the other for each provider."""
    names = series(spend.providers)
    colours = [_GREY if name == OTHERS else _COLOURS[number] for number, name in enumerate(names)]
    datasets = [
        {
            "label": name,
            "data": [float(of_series(bar.amounts, name, names)) for bar in spend.bars],
            "backgroundColor": colour,
            "maxBarThickness": 48,
        }
        for name, colour in zip(names, colours, strict=True)
    ]
    labels = [_named(bar, spend.unit) for bar in spend.bars]
    return Chart(
        {"labels": labels, "datasets": datasets},
        _options((bar.total for bar in spend.bars), stacked=True),
        tuple(zip(names, colours, strict=True)),
    )


def series(providers: Sequence[str]) -> tuple[str, ...]:
    """The names of the bars' parts: each provider, or those that there is a colour for and all others."""
    if len(providers) <= len(_COLOURS):
        return tuple(providers)
    return (*providers[: len(_COLOURS) - 1], OTHERS)


def of_series(amounts: Mapping[str, Decimal], name: str, names: Sequence[str]) -> Decimal:
    if name != OTHERS:
        return amounts.get(name, Decimal(0))
    return sum((amount for provider, amount in amounts.items() if provider not in names), Decimal(0))


def fan(so_far: Sequence[tuple[date, Decimal]], ahead: Sequence[DayBand], *, limit: Decimal | None) -> Chart:
    """The month's sums until today, and the forecast's from today on, which opens where yesterday ended."""
    today, spent = so_far[-1]
    days = [day for day, _ in so_far] + [each.day for each in ahead if each.day > today]
    known = dict(so_far)
    yesterday = so_far[-2:-1]
    highest = max([spent, *(each.band.high_95 for each in ahead)])
    datasets = [
        *(_of_band(name, ahead, yesterday, days) for name in ("low_95", "high_95", "low_80", "high_80")),
        {**_of_band("point", ahead, yesterday, days), "borderDash": [6, 4], "borderWidth": 2},
    ]
    if not ahead:
        datasets = []
    datasets.append(
        _line("spent", [_float(known.get(day)) for day in days], _SPENT)
        | {"pointRadius": 4 if len(so_far) == 1 else 0}
    )
    legend = [("spent", _SPENT)]
    if ahead:
        legend += [("forecast", _AHEAD), ("with 80 %", _NARROW), ("with 95 %", _WIDE)]
    if limit is not None and limit_in_sight(limit, highest):
        datasets.append(_line("limit", [float(limit)] * len(days), _LIMIT) | {"borderDash": [2, 3]})
        legend.append(("limit of the month's budget", _LIMIT))
        highest = max(highest, limit)
    labels = [f"{day:%b} {day.day}" for day in days]
    return Chart({"labels": labels, "datasets": datasets}, _options([highest], stacked=False), tuple(legend))


def limit_in_sight(limit: Decimal, highest: Decimal) -> bool:
    return limit <= highest * _IN_SIGHT


_BANDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "low_95": ("95 % from", "transparent", {}),
    "high_95": ("95 % to", "transparent", {"fill": "-1", "backgroundColor": _WIDE}),
    "low_80": ("80 % from", "transparent", {}),
    "high_80": ("80 % to", "transparent", {"fill": "-1", "backgroundColor": _NARROW}),
    "point": ("forecast", _AHEAD, {}),
}


def _of_band(
    name: str, ahead: Sequence[DayBand], yesterday: Sequence[tuple[date, Decimal]], days: Sequence[date]
) -> dict[str, Any]:
    label, colour, more = _BANDS[name]
    amounts = {**dict(yesterday), **{each.day: getattr(each.band, name) for each in ahead}}
    return _line(label, [_float(amounts.get(day)) for day in days], colour) | more


def _line(label: str, data: list[float | None], colour: str) -> dict[str, Any]:
    return {
        "label": label,
        "data": data,
        "borderColor": colour,
        "backgroundColor": colour,
        "borderWidth": 2,
        "pointRadius": 0,
        "pointHitRadius": 8,
        "fill": False,
    }


def _named(bar: Bar, unit: Unit) -> str:
    if unit is Unit.MONTH:
        return f"{bar.first:%b %Y}"
    return f"{bar.first:%b} {bar.first.day}"


def _options(amounts: Iterable[Decimal], *, stacked: bool) -> dict[str, Any]:
    """Numbers as everywhere in the admin: 1,200.50, with as many places as these amounts need."""
    highest = max(amounts, default=Decimal(0))
    places = 2 if highest >= 1 else max(4, 2 - highest.adjusted()) if highest > 0 else 2
    ticks = {"color": _TEXT, "maxTicksLimit": 6}
    number = {"minimumFractionDigits": 2, "maximumFractionDigits": min(places, 10)}
    return {
        "animation": False,
        "responsive": True,
        "maintainAspectRatio": False,
        "locale": "en-US",
        "interaction": {"mode": "index", "intersect": False},
        "plugins": {"legend": {"display": False}},
        "scales": {
            "x": {
                "stacked": stacked,
                "border": {"display": False},
                "grid": {"display": False, "color": _GRID},
                "ticks": {"color": _TEXT, "maxRotation": 0, "autoSkipPadding": 16},
            },
            "y": {
                "stacked": stacked,
                "beginAtZero": True,
                "title": {"display": True, "text": LEDGER_CURRENCY, "color": _TEXT},
                "border": {"display": False},
                "grid": {"color": _GRID},
                "ticks": {**ticks, "format": number},
            },
        },
    }


def _float(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
