"""How long to wait before another try. Pure: chance is an argument."""

import random
from datetime import timedelta

_DOUBLINGS = 16


def full_jitter(tries: int, *, base: timedelta, most: timedelta, rng: random.Random) -> timedelta:
    """A random wait of up to `base`, doubled by every try after the first, and at most `most`.

    Full jitter spreads clients that failed together best: Brooker, “Exponential Backoff And Jitter”, AWS
    Architecture Blog, 2015.
    """
    longest = min(most, base * (1 << min(max(tries, 1) - 1, _DOUBLINGS)))
    return longest * rng.random()
