"""Why a call is not paid for, and so not made."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from apps.common.errors import ConflictError, UnavailableError
from apps.common.money import plain
from apps.costs.models import Budget


class NoPriceError(ConflictError):
    """The model has no price: it isn't called, since it would count as free."""

    code = "no_price"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A budget that is in the way, at the moment at which it was."""

    budget: Budget
    spent: Decimal
    held: Decimal
    needed: Decimal

    def __str__(self) -> str:
        currency = self.budget.currency
        return (
            f"the budget of {self.budget} has spent {plain(self.spent)} {currency} and holds "
            f"{plain(self.held)} for calls in flight; this call needs up to {plain(self.needed)}"
        )


class BudgetExhaustedError(ConflictError):
    """What is already spent leaves too little: waiting won't help."""

    code = "budget_exhausted"

    def __init__(self, ceiling: Ceiling) -> None:
        super().__init__(f"Refused: {ceiling}. Raise the limit, or wait for the next period.")
        self.ceiling = ceiling


class BudgetBusyError(UnavailableError):
    """Only other calls' holds are in the way: when they settle, there may be room."""

    code = "budget_busy"

    def __init__(self, ceiling: Ceiling) -> None:
        super().__init__(f"Not now: {ceiling}. Try again shortly.", retry_after=timedelta(seconds=1))
        self.ceiling = ceiling
