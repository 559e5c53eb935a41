from dataclasses import asdict

from apps.costs.models import Price
from apps.costs.price_list import AS_OF, PRICES, PROVIDERS


def ensure_prices() -> int:
    """Enter the list price of each known model that has no price at all. Returns how many were entered."""
    made = 0
    for provider in PROVIDERS:
        for model, rates in PRICES.items():
            if not Price.objects.filter(provider=provider, model=model).exists():
                Price.objects.create(provider=provider, model=model, starts_at=AS_OF, **asdict(rates))
                made += 1
    return made
