"""What the known models cost when this list was made, to start with; prices are rows from then on."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

# Published at https://openai.com/api/pricing and, the same, for Azure OpenAI's global deployments.
AS_OF = datetime(2024, 10, 2, tzinfo=UTC)
PROVIDERS = ("openai", "azure")


@dataclass(frozen=True, slots=True)
class ListPrice:
    """US dollars per million tokens."""

    input_per_million: Decimal
    output_per_million: Decimal
    cached_input_per_million: Decimal | None = None


PRICES = {
    "gpt-4o": ListPrice(Decimal("2.50"), Decimal("10.00"), Decimal("1.25")),
    "gpt-4o-mini": ListPrice(Decimal("0.15"), Decimal("0.60"), Decimal("0.075")),
    "gpt-4-turbo": ListPrice(Decimal("10.00"), Decimal("30.00")),
    "gpt-4": ListPrice(Decimal("30.00"), Decimal("60.00")),
    "gpt-3.5-turbo": ListPrice(Decimal("0.50"), Decimal("1.50")),
    "text-embedding-3-small": ListPrice(Decimal("0.02"), Decimal(0)),
    "text-embedding-3-large": ListPrice(Decimal("0.13"), Decimal(0)),
}
