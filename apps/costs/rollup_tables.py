"""The tables of sums over the ledger: by which periods, and by which of an entry's dimensions. Pure."""

from dataclasses import dataclass

WHAT = ("provider", "model", "task_kind")
WHOM = ("account_id", "campaign_id", "user_id")
SUMS = ("attempts", "estimated", "input_tokens", "cached_tokens", "output_tokens", "amount")


@dataclass(frozen=True, slots=True)
class Rollup:
    """`periods`: the columns that name a row's period, the first of which a range of days is compared with.

    `key`: the dimensions that it keeps; it is summed over all others.
    """

    table: str
    periods: tuple[str, ...]
    key: tuple[str, ...] = (*WHAT, *WHOM)

    @property
    def period(self) -> str:
        return self.periods[0]


HOURS = Rollup("costs_hourrollup", ("day", "hour"))
DAYS = Rollup("costs_dayrollup", ("day",))
# Days have many rows, and most who ask want to know either what was called or for whom.
DAYS_BY_WHAT = Rollup("costs_daywhatrollup", ("day",), WHAT)
DAYS_BY_WHOM = Rollup("costs_daywhomrollup", ("day",), WHOM)
MONTHS = Rollup("costs_monthrollup", ("month",))

ROLLUPS = (HOURS, DAYS, DAYS_BY_WHAT, DAYS_BY_WHOM, MONTHS)
