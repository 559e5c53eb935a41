"""How providers name the columns of their exports, and what a line of each layout says.

OpenAI's usage and cost exports as its dashboard writes them, Azure's cost details, and a layout of our own
(docs/reconciliation.md).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from apps.costs.exports.values import read_amount, read_count, read_day, read_unit

# Of names for the same, the first that a file has counts. Compared without case, spaces and underscores.
_NAMES: dict[str, tuple[str, ...]] = {
    "day": ("day", "starttimeiso", "date", "usagedate", "usagedatetime", "timestamp", "starttime"),
    "model": ("model", "modelname", "snapshotid"),
    "requests": ("requests", "nummodelrequests", "nrequests"),
    "input": ("inputtokens", "ncontexttokenstotal", "prompttokens"),
    "cached": ("cachedtokens", "inputcachedtokens", "cachedinputtokens"),
    "output": ("outputtokens", "ngeneratedtokenstotal", "completiontokens"),
    "dollars": ("costinusd", "costusd"),
    "amount": ("amount", "amountvalue", "cost", "costinbillingcurrency", "pretaxcost"),
    "currency": ("currency", "amountcurrency", "billingcurrencycode", "billingcurrency"),
    "key": ("key", "project", "projectid", "apikeyid", "resourcename", "resourceid"),
    "item": ("lineitem",),
    "meter": ("metername",),
    "quantity": ("quantity", "usagequantity"),
    "unit": ("unitofmeasure", "quantityunit"),
}
_CURRENCY = "USD"
# A meter's name says which tokens it counts; before that word comes the model.
_INPUT, _OUTPUT = ("inp", "inpt", "input"), ("outp", "outpt", "output", "opt")
_CACHED = ("cached", "cchd", "cd")
_KINDS = {*_INPUT, *_OUTPUT, *_CACHED, "batch"}
_PLACES_OF_MODELS = {"glbl", "regnl", "data", "dz", "tokens"}


@dataclass(frozen=True, slots=True)
class Line:
    """What a line says of a model's day; None: it doesn't say. Cached tokens are part of the input."""

    day: date
    model: str
    key: str = ""
    requests: int | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    amount: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Cells:
    """A line's cells by what they are, and how its numbers are written."""

    values: Mapping[str, str]
    decimal_comma: bool

    def count(self, name: str) -> int | None:
        text = self.values.get(name, "")
        return read_count(text, decimal_comma=self.decimal_comma) if text else None

    def amount(self) -> Decimal | None:
        """In dollars. Raises ValueError for another currency."""
        if text := self.values.get("dollars", ""):
            return read_amount(text, decimal_comma=self.decimal_comma)
        if not (text := self.values.get("amount", "")):
            return None
        currency = self.values.get("currency", "") or _CURRENCY
        if currency.upper() != _CURRENCY:
            raise ValueError(f"The amount is in {currency}, the ledger in {_CURRENCY}: nothing is converted.")
        return read_amount(text, decimal_comma=self.decimal_comma)

    def day(self) -> date:
        return read_day(self.values["day"])


# These are whose they are called after; of the others anybody may make a file.
PROVIDERS_OF = {"openai costs": "openai", "azure costs": "azure"}

# None: the line is of something else than a model's tokens.
Reader = Callable[[Cells], Line | None]


@dataclass(frozen=True, slots=True)
class Layout:
    name: str
    columns: Mapping[int, str]
    read: Reader


def layout_of(header: Sequence[str]) -> Layout:
    """The layout of a file whose first line has these names. Raises ValueError: what is missing."""
    names = {re.sub(r"[\s_\-]", "", name).lower(): place for place, name in reversed(list(enumerate(header)))}
    places = {
        what: next((names[each] for each in known if each in names), None) for what, known in _NAMES.items()
    }
    has = {what for what, place in places.items() if place is not None}
    columns = {place: what for what, place in places.items() if place is not None}
    priced = has & {"amount", "dollars"}
    if "day" in has and "item" in has and priced:
        return Layout("openai costs", columns, _line_item)
    if "day" in has and "meter" in has and priced:
        return Layout("azure costs", columns, _meter)
    if {"day", "model"} <= has and ({"input", "output"} <= has or priced):
        return Layout("usage", columns, _usage)
    raise ValueError(
        "These columns say too little. Needed are a day, a model, and its input_tokens and output_tokens or"
        " its amount; or OpenAI's costs with line_item and amount_value; or Azure's with MeterName and"
        f" CostInBillingCurrency. There are: {', '.join(header)[:500]}."
    )


def _usage(cells: Cells) -> Line | None:
    model = cells.values.get("model", "")
    names = ("requests", "input", "cached", "output")
    amount, counts = cells.amount(), [cells.count(name) for name in names]
    if not model:
        # A day without usage is a line without a model.
        if amount or any(counts):
            raise ValueError("The line has usage and no model: export it grouped by model.")
        return None
    requests, given, cached, output = counts
    if cached is not None and cached > (given or 0):
        raise ValueError(f"Of {given or 0} input tokens {cached} can't be cached.")
    if given is not None or output is not None:
        # An empty cell beside others is nothing; a column that isn't there says nothing.
        given, cached, output = (
            0 if count is None and name in cells.values else count
            for name, count in zip(names[1:], (given, cached, output), strict=True)
        )
    return Line(cells.day(), model, cells.values.get("key", ""), requests, given, cached, output, amount)


def _line_item(cells: Cells) -> Line | None:
    """Such as “gpt-4o-2024-08-06, cached input”: a model, and which of its tokens."""
    item = cells.values.get("item", "")
    model, _, kind = item.rpartition(", ")
    if item and (not model or kind not in ("input", "cached input", "output")):
        return None
    amount = cells.amount()
    if not item and amount:
        raise ValueError("The line has an amount and no line item: export the costs grouped by line item.")
    if not item or amount is None:
        return None
    return _part(cells, model, kind, amount, tokens=_quantity(cells, "tokens"))


def _meter(cells: Cells) -> Line | None:
    """Such as “gpt-4o-0806-Inp-glbl Tokens”, with spaces or hyphens."""
    words = re.split(r"[\s\-]+", cells.values.get("meter", "").strip())
    # Embeddings have one kind of tokens, which their meters don't name.
    ends = _KINDS | _PLACES_OF_MODELS if "embedding" in words else _KINDS
    at = next((place for place, word in enumerate(words) if _kinds(word) or word.lower() in ends), 0)
    kinds = {kind for word in words[at:] for kind in _kinds(word)}
    # Of something else the amount may be whatever it likes: a credit, in another currency.
    if not at or (amount := cells.amount()) is None:
        return None
    kind = "output" if kinds & set(_OUTPUT) else "cached input" if kinds & set(_CACHED) else "input"
    return _part(cells, "-".join(words[:at]), kind, amount, tokens=_quantity(cells, ""))


def _kinds(word: str) -> set[str]:
    word = word.lower()
    return {each for each in (word, word.removeprefix("batch")) if each in _KINDS}


def _quantity(cells: Cells, only: str) -> int | None:
    """The tokens of a line that has a quantity, in a unit that says how many."""
    text, unit = cells.values.get("quantity", ""), cells.values.get("unit", "")
    if not text or not unit:
        return None
    if only:
        return cells.count("quantity") if unit.lower() == only else None
    tokens = read_amount(text, decimal_comma=cells.decimal_comma) * read_unit(unit)
    return int(tokens.to_integral_value())


def _part(cells: Cells, model: str, kind: str, amount: Decimal, *, tokens: int | None) -> Line:
    """A line of one kind of a model's tokens; the input has the cached ones too."""
    day, key = cells.day(), cells.values.get("key", "")
    if tokens is None:
        return Line(day, model, key, amount=amount)
    return Line(
        day,
        model,
        key,
        input_tokens=0 if kind == "output" else tokens,
        cached_tokens=tokens if kind == "cached input" else 0,
        output_tokens=tokens if kind == "output" else 0,
        amount=amount,
    )
