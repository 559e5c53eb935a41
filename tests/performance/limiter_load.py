"""Ask a limiter for slots over four layers — everything, tenant, account, recipient — and print decisions/s.

All are granted: the limits are wide, and every account is new. An account's candidates come together, as in a
claim. What a claim does besides (reading the rows that visits are made of) isn't counted on either side.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from uuid import UUID, uuid4

from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from apps.messaging.limiter.redis_logs import Contents, RedisConnection, RedisLogs
from apps.messaging.limiter.rules import Candidate, Ended, Limit, Log, Visit

# In a minute. More than any round asks for; the platform's own limits are met once a window by each account.
WIDE, OF_ACCOUNT = 10_000_000, 10
CANDIDATES = OF_ACCOUNT
AHEAD_US = 15_000_000
TENANTS = 10
EPOCH = 1


def log(layer: str, subject_id: UUID | None, count: int) -> Log:
    return Log(layer, subject_id, Limit(count, 60).rules)


def new_visits(decisions: int, *, candidates: int) -> list[Visit]:
    """Visits of accounts that are new, with so many candidates each."""
    everything = log("global", None, WIDE)
    tenants = [log("tenant", uuid4(), WIDE) for _ in range(TENANTS)]

    def visit(number: int) -> Visit:
        account = log("account", uuid4(), OF_ACCOUNT)
        assert account.subject_id is not None
        return Visit(
            account.subject_id,
            (everything, tenants[number % TENANTS], account),
            [Candidate(uuid4(), 1, (log("recipient", uuid4(), OF_ACCOUNT),)) for _ in range(candidates)],
        )

    return [visit(number) for number in range(decisions // candidates)]


def batches(visits: Sequence[Visit], size: int) -> Iterator[Sequence[Visit]]:
    for start in range(0, len(visits), size):
        yield visits[start : start + size]


def load(redis: RedisConnection, visits: Sequence[Visit]) -> None:
    """Put the logs in place, empty, as they are after an account's first visit."""
    redis.set_epoch(EPOCH)
    logs = {each for visit in visits for each in visit.shared}
    redis.load(
        [Contents(each, each.window, AHEAD_US + each.window, (), claims=0) for each in logs], epoch=EPOCH
    )


def settle(redis: RedisConnection, visits: Sequence[Visit]) -> None:
    """Correct the stamps of requests that have ended, account by account."""
    redis.settle(
        [
            (
                visit.shared[-1],
                [
                    Ended(each.message_id, each.attempt, 1000, (*visit.shared[:-1], *each.own))
                    for each in visit.candidates
                ],
            )
            for visit in visits
        ],
        epoch=EPOCH,
    )


def ours(url: str, decisions: int, *, candidates: int, pipelined: int) -> float:
    """Decisions/s of our limiter: slots asked for, and corrected when the requests have ended."""
    visits = new_visits(decisions, candidates=candidates)
    with RedisLogs(url).connection() as redis:
        load(redis, visits)
        started = time.perf_counter()
        for some in batches(visits, pipelined // candidates):
            verdicts = redis.reserve(some, epoch=EPOCH, ahead=AHEAD_US)
            if any(verdict is None or len(verdict.granted) != candidates for verdict in verdicts):
                sys.exit("a slot was refused that should have been free")
            settle(redis, some)
        return decisions / (time.perf_counter() - started)


def peer(url: str, decisions: int) -> float:
    """Decisions/s of `limits`: a hit per layer, over one kept connection."""
    limiter = MovingWindowRateLimiter(RedisStorage(url))
    wide, narrow = RateLimitItemPerMinute(WIDE), RateLimitItemPerMinute(OF_ACCOUNT)
    asked = [
        (
            (wide, "global"),
            (wide, "tenant", visit.shared[1].name),
            (narrow, "account", visit.shared[2].name),
            (narrow, "recipient", candidate.own[0].name),
        )
        for visit in new_visits(decisions, candidates=CANDIDATES)
        for candidate in visit.candidates
    ]
    started = time.perf_counter()
    for layers in asked:
        for item, *key in layers:
            if not limiter.hit(item, *key):
                sys.exit("a slot was refused that should have been free")
    return decisions / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.limiter_load", description=__doc__)
    parser.add_argument("side", choices=["ours", "alone", "peer"], help="alone: one decision a round trip")
    parser.add_argument("url")
    parser.add_argument("decisions", type=int)
    parser.add_argument("pipelined", type=int, nargs="?", default=CANDIDATES)
    given = parser.parse_args()
    match given.side:
        case "ours":
            rate = ours(given.url, given.decisions, candidates=CANDIDATES, pipelined=given.pipelined)
        case "alone":
            rate = ours(given.url, given.decisions, candidates=1, pipelined=1)
        case _:
            rate = peer(given.url, given.decisions)
    sys.stdout.write(f"{rate}\n")


if __name__ == "__main__":
    main()
