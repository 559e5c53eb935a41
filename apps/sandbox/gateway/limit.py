"""The limit that the gateway enforces when told to."""

from collections import defaultdict, deque

from apps.sandbox.gateway.settings import EnforcedLimit


class DeliveryTimes:
    """When each account's latest deliveries were, as far back as the limit in force looks.

    It begins empty whenever a limit is put in force: what was delivered before is forgiven.
    """

    def __init__(self) -> None:
        self._times: defaultdict[str, deque[float]] = defaultdict(deque)
        self._limit: EnforcedLimit | None = None

    def clear(self) -> None:
        self._times.clear()

    def wait(self, limit: EnforcedLimit, *, account: str, now: float) -> float:
        """Seconds until the account may deliver again; 0 if it may now."""
        if limit is not self._limit:
            self._times.clear()
            self._limit = limit
        times = self._times[account]
        while times and times[0] <= now - limit.seconds:
            times.popleft()
        return 0 if len(times) < limit.count else times[0] + limit.seconds - now

    def add(self, *, account: str, now: float) -> None:
        """Note a delivery; `wait` was asked before."""
        self._times[account].append(now)
