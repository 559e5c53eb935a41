from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime

from apps.costs.models import Price
from apps.costs.price_list import AS_OF, PROVIDERS, ListPrice, UnusableError, listed_price, listed_prices


def ensure_prices(*, now: datetime, models: Iterable[tuple[str, str]] = ()) -> int:
    """Enter the list price of each known model that has no price at all. Returns how many were entered.

    `models`, as (provider, model), may have names of which the list knows the model only: dated or fine-tuned
    ones.
    """
    wanted: dict[tuple[str, str], ListPrice] = {}
    for provider in PROVIDERS:
        usable, _ = listed_prices(provider=provider, at=now)
        wanted |= {(provider, model): price for model, price in usable.items()}
    for provider, model in models:
        if provider in PROVIDERS and (price := _listed(provider, model, at=now)):
            wanted[provider, model] = price
    priced = set(Price.objects.order_by().values_list("provider", "model").distinct())
    missing = [
        Price(provider=provider, model=model, starts_at=AS_OF, **asdict(price))
        for (provider, model), price in wanted.items()
        if (provider, model) not in priced
    ]
    # Another process may be entering the same ones.
    Price.objects.bulk_create(missing, ignore_conflicts=True)
    return len(missing)


def _listed(provider: str, model: str, *, at: datetime) -> ListPrice | None:
    try:
        return listed_price(provider=provider, model=model, at=at)
    except UnusableError:
        return None
