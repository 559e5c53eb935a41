"""How long to wait before the same deployment is asked again. Pure: chance is an argument."""

import random
from datetime import timedelta

from apps.common.backoff import full_jitter

BASE = timedelta(seconds=0.5)
MOST = timedelta(seconds=8)


def delay(tries: int, *, retry_after: timedelta | None, rng: random.Random) -> timedelta:
    """A random wait of up to 0.5 s, doubled by every failed try after the first, at most 8 s.

    Where the provider has said when to come again, the wait begins then, so that those whom it told the same
    don't come together.
    """
    return (retry_after or timedelta()) + full_jitter(tries, base=BASE, most=MOST, rng=rng)
