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


_WORDS = {
    "budget_exhausted": ("Refused", "Raise the limit, or wait for the next period."),
    "budget_busy": ("Not now", "Try again shortly."),
}


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A budget that is in the way, at the moment at which it was."""

    budget: Budget
    spent: Decimal
    held: Decimal
    needed: Decimal

    def __str__(self) -> str:
        return (
            f"the budget of {self.budget} has spent {plain(self.spent)} {self.budget.currency} and holds "
            f"{plain(self.held)} for calls in flight"
        )

    @property
    def facts(self) -> dict[str, str]:
        """The same for programs; of the budget, what is known without reading it."""
        return {
            "budget": str(self.budget.pk),
            "scope": self.budget.scope,
            "period": self.budget.period,
            "currency": self.budget.currency,
            "limit": plain(self.budget.limit),
            "spent": plain(self.spent),
            "held": plain(self.held),
            "needed": plain(self.needed),
        }


def told(code: str, ceiling: Ceiling, *, needs: str = "") -> str:
    """Why a call isn't made, in words; `needs` says what each needs of it where there were several."""
    opening, advice = _WORDS[code]
    return f"{opening}: {ceiling}; {needs or f'this call needs up to {plain(ceiling.needed)}'}. {advice}"


class BudgetExhaustedError(ConflictError):
    """What is already spent leaves too little: waiting won't help."""

    code = "budget_exhausted"

    def __init__(self, ceiling: Ceiling) -> None:
        super().__init__(told(self.code, ceiling))
        self.ceiling = ceiling


class BudgetBusyError(UnavailableError):
    """Only other calls' holds are in the way: when they settle, there may be room."""

    code = "budget_busy"

    def __init__(self, ceiling: Ceiling) -> None:
        super().__init__(told(self.code, ceiling), retry_after=timedelta(seconds=1))
        self.ceiling = ceiling
