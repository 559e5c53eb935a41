"""Judge a ledger: was a limit kept in every window, was anything delivered twice?

What counts:

* Windows are half-open, (t - W, t]: two arrivals exactly W apart never share one. Every arrival counts that
  got past authentication and validation, accepted or not (so with whatever status a fault refused it), for
  each of them is a request that the platform saw.
* Duplicates are counted among accepted deliveries alone: of n deliveries under one key, or of one text to
  one recipient of one account, n - 1 are duplicates.

Times are whole microseconds, so that the edges of windows are exact.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from apps.sandbox.gateway.ledger import Arrival, Outcome

EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class Worst:
    """The fullest window: whose, how many arrivals, and its last one's time (seconds since the epoch)."""

    account: str
    recipient: str | None
    count: int
    until: float


@dataclass(frozen=True, slots=True)
class AccountTotals:
    """One account's arrivals that count in windows, its deliveries, its fullest window."""

    arrivals: int
    accepted: int
    worst: int


@dataclass(frozen=True, slots=True)
class Audit:
    """The judgement. `duplicate_keys` and `duplicate_texts` are examples, at most EXAMPLES of each."""

    seconds: float
    limit: int
    arrivals: int
    counted: int
    accepted: int
    outcomes: dict[str, int]
    worst_account: Worst | None
    worst_recipient: Worst | None
    within_limit: bool
    duplicates_by_key: int
    duplicates_by_text: int
    duplicate_keys: list[str]
    duplicate_texts: list[tuple[str, str, str]]
    accounts: dict[str, AccountTotals]


def fullest_window(times: Sequence[int], window: int) -> tuple[int, int]:
    """The largest number of times in any (t - window, t], and the t where it is first reached.

    `times` ascend and aren't empty; the unit is the caller's.
    """
    most, until, start = 0, times[0], 0
    for end, time in enumerate(times):
        while times[start] <= time - window:
            start += 1
        if end - start + 1 > most:
            most, until = end - start + 1, time
    return most, until


def judge(arrivals: Iterable[Arrival], *, seconds: float, limit: int) -> Audit:
    """Judge arrivals (in any order) against `limit` per account in any window of `seconds`."""
    window = round(seconds * 1e6)
    times: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    outcomes: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    keys: Counter[str] = Counter()
    texts: Counter[tuple[str, str, str]] = Counter()
    for arrival in arrivals:
        outcomes[arrival.outcome.value] += 1
        if arrival.outcome is not Outcome.REJECTED:
            times[arrival.account, arrival.recipient].append(round(arrival.at * 1e6))
        if arrival.accepted:
            accepted[arrival.account] += 1
            keys[arrival.key] += 1
            texts[arrival.account, arrival.recipient, arrival.text_hash] += 1

    recipients = [_worst(account, recipient, found, window) for (account, recipient), found in times.items()]
    by_account: defaultdict[str, list[int]] = defaultdict(list)
    for (account, _), found in times.items():
        by_account[account].extend(found)
    accounts = {account: _worst(account, None, found, window) for account, found in by_account.items()}
    worst_account = max(accounts.values(), key=_count, default=None)
    return Audit(
        seconds=seconds,
        limit=limit,
        arrivals=outcomes.total(),
        counted=outcomes.total() - outcomes[Outcome.REJECTED.value],
        accepted=accepted.total(),
        outcomes=dict(outcomes),
        worst_account=worst_account,
        worst_recipient=max(recipients, key=_count, default=None),
        within_limit=worst_account is None or worst_account.count <= limit,
        duplicates_by_key=_surplus(keys),
        duplicates_by_text=_surplus(texts),
        duplicate_keys=[key for key, count in keys.items() if count > 1][:EXAMPLES],
        duplicate_texts=[text for text, count in texts.items() if count > 1][:EXAMPLES],
        accounts={
            account: AccountTotals(
                arrivals=len(found), accepted=accepted[account], worst=accounts[account].count
            )
            for account, found in by_account.items()
        },
    )


def _worst(account: str, recipient: str | None, times: list[int], window: int) -> Worst:
    times.sort()
    count, until = fullest_window(times, window)
    return Worst(account=account, recipient=recipient, count=count, until=until / 1e6)


def _count(worst: Worst) -> int:
    return worst.count


def _surplus(counts: "Counter[str] | Counter[tuple[str, str, str]]") -> int:
    return sum(count - 1 for count in counts.values())
