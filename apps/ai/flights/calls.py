"""The script's calls, and its answers read."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from apps.ai.flights.turns import Again, Answer, Ask, Hit, Inherent, Join, Lead, Stale, Told, Turn
from apps.common.shared_redis import Call, Script

_SCRIPT = Script((Path(__file__).parent / "flights.lua").read_bytes())
_MS = timedelta(milliseconds=1)
_NO_TIME = timedelta()

# A larger answer reaches those who joined, and isn't kept: a few of them would drive out all others.
LARGEST_KEPT_BYTES = 256 * 2**10

_ANSWER, _INHERENT, _AGAIN = b"+", b"-", b"?"


@dataclass(frozen=True, slots=True)
class Calls:
    """Makes calls of the script; `now` in milliseconds, or Redis's own clock."""

    cap: int
    now: int | None = None

    def begin(self, ask: Ask, *, cached: bool) -> Call:
        ttl = ask.ttl
        fresh, stale = (ttl.fresh, ttl.stale) if cached else (_NO_TIME, _NO_TIME)
        waits = -1 if ask.waits is None else _ms(ask.waits)
        return self._call("begin", ask, _ms(ask.lease), _ms(fresh), _ms(stale), _ms(ask.takes), waits)

    def extend(self, ask: Ask, lease: timedelta) -> Call:
        return self._call("extend", ask, _ms(lease))

    def end(self, ask: Ask, told: Told, *, cached: bool) -> Call:
        what = _packed(told)
        stale = _ms(ask.ttl.stale) if cached and isinstance(told, Answer) else 0
        return self._call("end", ask, what, stale, self._cap(len(what) - 1))

    def get(self, ask: Ask) -> Call:
        return self._call("get", ask, _ms(ask.ttl.stale))

    def put(self, ask: Ask, answer: Answer) -> Call:
        payload = _json(answer.answer)
        return self._call("put", ask, payload, _ms(ask.ttl.stale), self._cap(len(payload)))

    def _cap(self, size: int) -> int:
        return self.cap if size <= LARGEST_KEPT_BYTES else 0

    def _call(self, operation: str, ask: Ask, *words: str | bytes | int) -> Call:
        now = "" if self.now is None else self.now
        return Call(_SCRIPT, [prefix(ask)], [operation, ask.identity, ask.token, now, *words])


def prefix(ask: Ask) -> str:
    """What all keys of a tenant begin with; the braces put them in one slot of a cluster."""
    return f"huntaze:ai:{{{ask.tenant_id}}}:"


def own_list(ask: Ask) -> str:
    """Where the caller is told what comes of a flight that it joined."""
    return f"{prefix(ask)}told:{ask.token}"


def turn(ask: Ask, answer: Sequence[Any]) -> Turn:
    """Read what `begin` answered."""
    kind, *rest = answer
    if kind == b"told":
        told = heard(rest[0])
        assert not isinstance(told, Again)  # the script passes over those
        return told
    if kind == b"hit":
        return Hit(json.loads(rest[0]), rest[1] * _MS)
    if kind == b"join":
        return Join(ask, rest[0] * _MS, stale(rest[1:]))
    return Lead(ask, stale(rest))


def stale(answer: Sequence[Any]) -> Stale | None:
    """Read what `get` answered."""
    return None if answer[0] is None else Stale(json.loads(answer[0]), answer[1] * _MS)


def heard(item: bytes) -> Told:
    """Read what was pushed to a waiter's list."""
    sign, payload = item[:1], item[1:]
    if sign == _AGAIN:
        return Again()
    return Answer(json.loads(payload)) if sign == _ANSWER else Inherent(json.loads(payload))


def _packed(told: Told) -> bytes:
    if isinstance(told, Again):
        return _AGAIN
    return _ANSWER + _json(told.answer) if isinstance(told, Answer) else _INHERENT + _json(told.error)


def _json(content: dict[str, Any]) -> bytes:
    """Bytes of which json.loads makes the same. Raises ValueError for NaN, TypeError for what isn't JSON."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _ms(time: timedelta) -> int:
    """Milliseconds; at least one unless there is no time at all."""
    return max(time // _MS, 1) if time else 0
