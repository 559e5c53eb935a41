"""The one source of randomness: reproducible."""

import random


def generator(seed: str) -> random.Random:
    """A generator that draws the same for the same seed, in every process."""
    return random.Random(seed)  # noqa: S311 - nothing here is a secret, and a seed is the point
