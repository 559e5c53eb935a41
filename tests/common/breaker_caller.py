"""A process that calls a service through its breaker, again and again: python -m tests.common.breaker_caller.

The service is a key in Redis: it works while that is there. What happens is written down beside it.
"""

import os
import sys
import time
from datetime import timedelta

import redis

from apps.common.breaker.breakers import Breakers
from apps.common.breaker.rules import Admission, Change, Report, Result, Settings
from apps.common.shared_redis import SharedRedis

SERVICE = "service"
SETTINGS = Settings(recovery=timedelta(milliseconds=100), recovery_at_most=timedelta(milliseconds=400))


class Caller:
    def __init__(self, prefix: str, lease: timedelta) -> None:
        url = os.environ["REDIS_URL"]
        self.prefix, self.lease = prefix, lease
        self.notes = redis.Redis.from_url(url)
        self.breakers = Breakers(SharedRedis(url), prefix=prefix, settings=SETTINGS)

    def run(self) -> None:
        while not self.notes.exists(f"{self.prefix}:stop"):
            status = self.breakers.statuses_of([SERVICE])[SERVICE]
            admitted = self.breakers.admit(status, lease=self.lease)
            self.note(admitted.changes)
            if admitted.admission:
                report = Report(self.probe() if admitted.admission.probe else self.call())
                self.note(self.breakers.record(admitted.admission, report))
                self.told(admitted.admission)
            else:
                time.sleep(0.001)  # Callers come at some pace.

    def call(self) -> Result:
        return Result.SUCCESS if self.notes.exists(f"{self.prefix}:works") else Result.FAILURE

    def probe(self) -> Result:
        """Also says how many are out at once."""
        out = self.notes.incr(f"{self.prefix}:out")
        self.notes.sadd(f"{self.prefix}:out at once", out)
        if self.notes.spop(f"{self.prefix}:deaths"):
            self.notes.decr(f"{self.prefix}:out")
            os._exit(9)
        result = self.call()
        self.notes.decr(f"{self.prefix}:out")
        return result

    def told(self, admission: Admission) -> None:
        self.notes.incr(f"{self.prefix}:{'probes' if admission.probe else 'calls'}")

    def note(self, changes: list[Change]) -> None:
        for change in changes:
            self.notes.rpush(f"{self.prefix}:changes", f"{change.before}>{change.after}")


if __name__ == "__main__":
    prefix, lease = sys.argv[1:]
    Caller(prefix, timedelta(seconds=float(lease))).run()
