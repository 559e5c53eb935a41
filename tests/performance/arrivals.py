"""What the gateway saw, and what that says of limits, lateness and throughput. Times are microseconds."""

import statistics
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# When, from which account, to whom.
RECORD = struct.Struct("<qII")
SECOND = 1_000_000


class Arrival(NamedTuple):
    at: int
    account: int
    recipient: int


@dataclass(frozen=True)
class Arrivals:
    """The file that the gateway appends to."""

    path: Path

    def count(self) -> int:
        return self.path.stat().st_size // RECORD.size if self.path.exists() else 0

    def since(self, first: int) -> list[Arrival]:
        """All but so many, in the order in which they came."""
        with self.path.open("rb") as file:
            file.seek(first * RECORD.size)
            data = file.read()
        whole = len(data) // RECORD.size * RECORD.size
        return [Arrival(*each) for each in RECORD.iter_unpack(data[:whole])]


def by_account(arrivals: Iterable[Arrival]) -> dict[int, list[int]]:
    """The times of each account's arrivals, ascending."""
    times: defaultdict[int, list[int]] = defaultdict(list)
    for each in arrivals:
        times[each.account].append(each.at)
    return {account: sorted(found) for account, found in times.items()}


def utilisation(times: Mapping[int, Sequence[int]], *, count: int, window: int) -> float:
    """How much of their limits (`count` in any `window`) saturated accounts use: 1 is all that is allowed.

    The window over the mean time from each arrival to the count-th one after it.
    """
    spans = [
        later - earlier for each in times.values() for earlier, later in zip(each, each[count:], strict=False)
    ]
    return window / statistics.fmean(spans)


def fullest_window(times: Sequence[int], *, window: int) -> int:
    """The most arrivals in any half-open window (t - W, t]."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - window:
            first += 1
        most = max(most, last - first + 1)
    return most


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of all don't exceed. Raises ValueError if it has none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]
