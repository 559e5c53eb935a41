"""How long to wait before another try."""

from datetime import timedelta
from random import SystemRandom

_BASE = timedelta(seconds=2)
_MOST = timedelta(minutes=5)
_random = SystemRandom()


def full_jitter(tries: int) -> timedelta:
    """A random wait of up to 2 s, doubled by every try, and at most 5 min.

    Full jitter spreads clients that failed together best: Brooker, “Exponential Backoff And Jitter”, AWS
    Architecture Blog, 2015.
    """
    most = min(_MOST, _BASE * 2 ** min(max(tries, 1) - 1, 16))
    return timedelta(seconds=_random.uniform(0, most.total_seconds()))
