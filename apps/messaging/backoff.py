"""How long to wait before another try."""

from datetime import timedelta
from random import SystemRandom

from apps.common import backoff

_BASE = timedelta(seconds=2)
_MOST = timedelta(minutes=5)
_random = SystemRandom()


def full_jitter(tries: int) -> timedelta:
    """A random wait of up to 2 s, doubled by every try, and at most 5 min."""
    return backoff.full_jitter(tries, base=_BASE, most=_MOST, rng=_random)
