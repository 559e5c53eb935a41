"""The calls of the last seconds, in as many buckets as the window has thirtieths.

As text, which Redis keeps and `breaker.lua` reads: of each bucket, the newest first, its number, how many
calls succeeded or failed, how many failed, and how many milliseconds after its beginning the service first
and last answered somebody (-1: nobody). What lies further back than the buckets is forgotten, so the window
is up to a thirtieth too short, never too long.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

BUCKETS = 30


class Bucket(NamedTuple):
    calls: int = 0
    failures: int = 0
    first: int = -1
    last: int = -1


@dataclass(frozen=True, slots=True)
class Counted:
    """A window's text at an instant, both in milliseconds; what it says is worked out when somebody asks."""

    text: str
    length: int
    now: int

    def total(self) -> tuple[int, int]:
        """Calls and failures."""
        found = list(self.buckets().values())
        return sum(bucket.calls for bucket in found), sum(bucket.failures for bucket in found)

    def answered_between(self, start: int, end: int) -> bool:
        """Whether the service answered somebody then, as far back as the window reaches.

        Within one bucket only the first and the last answer are known: an attempt between these two, which is
        shorter than a bucket, counts as if there had been one meanwhile.
        """
        for number, bucket in self.buckets().items():
            first, last = number * self._width + bucket.first, number * self._width + bucket.last
            if bucket.first >= 0 and first <= end and last >= start:
                return True
        return False

    def add(self, *, failed: bool | None, answered: int | None) -> str:
        """The text with a call of now, and with an answer of another instant."""
        buckets, newest = self.buckets(), self.now // self._width
        if failed is not None:
            bucket = buckets.get(newest, Bucket())
            buckets[newest] = bucket._replace(calls=bucket.calls + 1, failures=bucket.failures + failed)
        if answered is not None and answered // self._width > newest - BUCKETS:
            number, after = divmod(answered, self._width)
            bucket = buckets.get(number, Bucket())
            first = after if bucket.first < 0 else min(bucket.first, after)
            buckets[number] = bucket._replace(first=first, last=max(bucket.last, after))
        return "".join(_lines(buckets))

    def buckets(self) -> dict[int, Bucket]:
        oldest = self.now // self._width - BUCKETS + 1
        return {number: bucket for number, bucket in self._read() if number >= oldest}

    def _read(self) -> Iterator[tuple[int, Bucket]]:
        for line in self.text.split(";")[:-1]:
            number, *figures = map(int, line.split())
            yield number, Bucket(*figures)

    @property
    def _width(self) -> int:
        return max(self.length // BUCKETS, 1)


def _lines(buckets: Mapping[int, Bucket]) -> Iterator[str]:
    for number in sorted(buckets, reverse=True):
        yield f"{number} {' '.join(map(str, buckets[number]))};"


NOTHING = Counted("", BUCKETS, 0)
