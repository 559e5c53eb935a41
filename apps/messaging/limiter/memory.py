"""The limiter's rule in pure Python, over logs in memory."""

from collections import defaultdict
from collections.abc import Sequence

from apps.messaging.limiter.rules import Candidate, Ended, Log, Refusal, Verdict, Visit, member


class MemoryLimiter:
    """Logs that forget nothing, so that none ever has to be loaded."""

    def __init__(self) -> None:
        self._logs: defaultdict[str, dict[str, int]] = defaultdict(dict)

    def reserve(self, visits: Sequence[Visit], *, ahead: int, now: int) -> list[Verdict]:
        return [self._decide(visit, ahead=ahead, now=now) for visit in visits]

    def settle(self, account: Log, ended: Sequence[Ended], *, now: int) -> int:
        for each in ended:
            name = member(each.message_id, each.attempt)
            for log in (account, *each.logs):
                stamps = self._logs[log.name]
                if each.age is None:
                    stamps.pop(name, None)
                elif name in stamps:
                    stamps[name] = min(stamps[name], now - each.age)
        return self.wait(account, now=now)

    def stamps(self, log: Log) -> dict[str, int]:
        """What a log holds: a stamp by the name of its attempt."""
        return dict(self._logs[log.name])

    def free(self, log: Log, *, now: int) -> int:
        """How many slots a log has left."""
        stamps = self._logs[log.name].values()
        return min(rule.count - sum(stamp > now - rule.window for stamp in stamps) for rule in log.rules)

    def wait(self, log: Log, *, now: int) -> int:
        """For how long it has none: until its count-th newest stamp has left the window."""
        newest = sorted(self._logs[log.name].values(), reverse=True)
        ends = [newest[rule.count - 1] + rule.window for rule in log.rules if len(newest) >= rule.count]
        return max([end - now for end in ends], default=0) if max(ends, default=0) > now else 0

    def _decide(self, visit: Visit, *, ahead: int, now: int) -> Verdict:
        granted: list[int] = []
        refused: dict[int, Refusal] = {}
        for position, candidate in enumerate(visit.candidates):
            if any(self.free(log, now=now) <= 0 for log in visit.shared):
                break
            refusal = self._refusal(candidate, now=now)
            if refusal:
                refused[position] = refusal
                continue
            for log in (*visit.shared, *candidate.own):
                self._logs[log.name][candidate.member] = now + ahead
            granted.append(position)
        waits = tuple(self.wait(log, now=now) for log in visit.shared)
        return Verdict(granted=tuple(granted), refused=refused, waits=waits)

    def _refusal(self, candidate: Candidate, *, now: int) -> Refusal | None:
        for log in candidate.own:
            if wait := self.wait(log, now=now):
                return Refusal(log, wait)
        return None
