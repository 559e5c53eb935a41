"""What the analysis looks at. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from uuid import UUID

from apps.ai.flights.ttl import NOT_CACHED, Ttl
from apps.costs import pricing
from apps.costs.pricing import Rates, Usage

MONTH = timedelta(days=30)
# A tenant of two days is not taken for one who always asks as much as in these two.
SHORTEST_SPAN = timedelta(days=7)

_PLACES = Decimal(1).scaleb(-10)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question that has come to its end.

    `question`: equal for those that are the same to the cache. `paid`: a provider was asked for it, and
    answered; neither the cache nor somebody else's call. `cost` is that of all its attempts; tokens are those
    of the one that brought the answer.
    """

    id: UUID
    at: datetime
    task_kind: str
    question: str
    fresh: bool = False
    paid: bool = True
    answered: bool = True
    deployment_id: UUID | None = None
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)

    @property
    def usage(self) -> Usage:
        return Usage(self.input_tokens, self.output_tokens, min(self.cached_tokens, self.input_tokens))


@dataclass(frozen=True, slots=True)
class Lost:
    """An attempt that brought no answer, and what it cost even so."""

    generation_id: UUID
    deployment: str
    outcome: str
    cost: Decimal
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """A deployment with its price in force. `able`: calls may be routed to it, and not only as a fallback."""

    id: UUID
    name: str
    provider: str
    model: str
    model_class: str
    rates: Rates | None
    able: bool = True
    context_tokens: int | None = None

    def price(self, usage: Usage) -> Decimal | None:
        """What these tokens cost there today; None without a price."""
        return None if self.rates is None else pricing.cost(usage=usage, rates=self.rates)


@dataclass(frozen=True, slots=True)
class Facts:
    """`asked` is in the order of time. `span`: the time that it covers. `is_sample`: older ones weren't read.

    `ttls` are those in force for the tenant, `preferred` the deployments that it has set for kinds of task.
    """

    asked: Sequence[Asked]
    offers: Mapping[UUID, Offer]
    ttls: Mapping[str, Ttl]
    lost: Sequence[Lost] = ()
    preferred: Mapping[str, UUID] = field(default_factory=dict)
    span: timedelta = MONTH
    is_sample: bool = False

    def by_kind(self) -> Iterator[tuple[str, list[Asked]]]:
        """The questions of each kind of task, in the order of time."""
        ordered = sorted(self.asked, key=lambda each: each.task_kind)
        for kind, group in groupby(ordered, key=lambda each: each.task_kind):
            yield kind, list(group)

    def ttl(self, task_kind: str) -> Ttl:
        return self.ttls.get(task_kind, NOT_CACHED)

    def monthly(self, amount: Decimal) -> Decimal:
        """What an amount of the span comes to in 30 days."""
        seconds = Decimal(int(self.span.total_seconds())) or Decimal(1)
        return (amount * Decimal(int(MONTH.total_seconds())) / seconds).quantize(_PLACES)


def span_of(*, first: datetime | None, now: datetime, window: timedelta) -> timedelta:
    """The time that questions from `first` on cover: no less than a week, no more than the window."""
    seen = now - first if first is not None else window
    return min(max(seen, SHORTEST_SPAN), window)
