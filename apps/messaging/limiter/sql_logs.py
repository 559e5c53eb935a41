"""The limiter's logs in PostgreSQL: the stamps of `Message.slots`, from which Redis's logs are loaded.

While Redis is away they decide themselves: slower, but exact as long as the caller lets nobody else grant.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from apps.messaging.limiter.rules import Log, Refusal, Verdict, Visit, member, to_stamp

_OPEN = ("sending", "unknown")
# The messages that may have a stamp younger than a horizon, of one log.
_OF_LOG = """
    SELECT message.id, message.attempt, message.state, message.fan_id, message.slots
    FROM messaging_message message
    WHERE asked.layer = 'account'
      AND message.account_id = asked.subject_id AND message.newest_slot > asked.since
    UNION ALL
    SELECT message.id, message.attempt, message.state, message.fan_id, message.slots
    FROM messaging_fan fan JOIN messaging_message message
      ON message.account_id = fan.account_id AND message.newest_slot > asked.since
    WHERE asked.layer = 'recipient' AND fan.id = asked.subject_id AND message.fan_id = fan.id
    UNION ALL
    SELECT message.id, message.attempt, message.state, message.fan_id, message.slots
    FROM messaging_account account JOIN messaging_message message
      ON message.account_id = account.id AND message.newest_slot > asked.since
    WHERE asked.layer = 'tenant' AND account.tenant_id = asked.subject_id
    UNION ALL
    SELECT message.id, message.attempt, message.state, message.fan_id, message.slots
    FROM messaging_account account JOIN messaging_message message
      ON message.account_id = account.id AND message.newest_slot > asked.since
    WHERE asked.layer IN ('user', 'global')
      AND (asked.layer = 'global' OR message.user_id = asked.subject_id)
"""

_STAMPS = f"""
SELECT asked.layer, asked.subject_id, found.id, found.attempt, found.state, found.fan_id, found.slots
FROM unnest(%(layers)s::text[], %(subjects)s::uuid[], %(since)s::timestamptz[])
    AS asked (layer, subject_id, since)
CROSS JOIN LATERAL ({_OF_LOG}) found
"""  # noqa: S608  # only the constant above is inserted

# The rule: a log waits until its count-th newest stamp has left the window. `taken` slots were granted just
# now, all of them stamped `stamp`, and aren't in the table yet.
_WAITS = f"""
SELECT asked.position, max(extract(epoch FROM nth.stamp + asked.span - %(now)s) * 1000000)::bigint
FROM unnest(%(positions)s::int[], %(layers)s::text[], %(subjects)s::uuid[], %(counts)s::int[],
            %(windows)s::bigint[], %(taken)s::int[])
    AS given (position, layer, subject_id, count, window_us, taken)
CROSS JOIN LATERAL (
    SELECT given.*, given.window_us * interval '1 microsecond' AS span,
           %(now)s - given.window_us * interval '1 microsecond' AS since
) asked
CROSS JOIN LATERAL (
    SELECT %(stamp)s::timestamptz AS stamp WHERE asked.taken >= asked.count
    UNION ALL
    (
        SELECT slot.stamp FROM ({_OF_LOG}) found CROSS JOIN LATERAL unnest(found.slots) AS slot (stamp)
        WHERE slot.stamp > asked.since
        ORDER BY slot.stamp DESC OFFSET greatest(asked.count - asked.taken - 1, 0)
        LIMIT CASE WHEN asked.taken < asked.count THEN 1 ELSE 0 END
    )
) nth
GROUP BY asked.position
"""  # noqa: S608  # only the constant above is inserted

_COUNTS = f"""
SELECT asked.position, count(*)
FROM unnest(%(positions)s::int[], %(layers)s::text[], %(subjects)s::uuid[], %(since)s::timestamptz[])
    AS asked (position, layer, subject_id, since)
CROSS JOIN LATERAL ({_OF_LOG}) found
CROSS JOIN LATERAL unnest(found.slots) AS slot (stamp)
WHERE slot.stamp > asked.since
GROUP BY asked.position
"""  # noqa: S608  # only the constant above is inserted


@dataclass(frozen=True, slots=True)
class Found:
    """A stamp, what it is called in Redis, and whose it is."""

    at: int
    member: str
    fan_id: UUID


def read_stamps(logs: Iterable[tuple[Log, int]], *, now: datetime) -> dict[Log, list[Found]]:
    """The stamps of each log that are younger than its horizon (microseconds)."""
    by_subject = {(log.layer, log.subject_id): (log, horizon) for log, horizon in logs}
    since = [now - timedelta(microseconds=horizon) for _, horizon in by_subject.values()]
    found: dict[Log, list[Found]] = {log: [] for log, _ in by_subject.values()}
    with connection.cursor() as cursor:
        cursor.execute(
            _STAMPS,
            {
                "layers": [layer for layer, _ in by_subject],
                "subjects": [subject_id for _, subject_id in by_subject],
                "since": since,
            },
        )
        for layer, subject_id, message_id, attempt, state, fan_id, slots in cursor.fetchall():
            log, horizon = by_subject[layer, subject_id]
            earliest = to_stamp(now) - horizon
            for index, slot in enumerate(slots, start=1 - len(slots)):
                if (stamp := to_stamp(slot)) > earliest:
                    # The stamp of an attempt under way may yet be corrected, under the name that it was
                    # granted under. Of an attempt that gave its slot back, the latest stamp isn't its own.
                    is_open = index == 0 and state in _OPEN
                    name = member(message_id, attempt) if is_open else f"{message_id.hex}{index}"
                    found[log].append(Found(stamp, name, fan_id))
    return found


def reserve(visits: Sequence[Visit], *, ahead: int, now: datetime) -> list[Verdict]:
    """Decide the visits. Exact only while the caller's lock keeps everybody else from granting."""
    taken: defaultdict[Log, int] = defaultdict(int)
    stamp = now + timedelta(microseconds=ahead)
    return [_decide(visit, taken, stamp=stamp, now=now) for visit in visits]


def waits(logs: Sequence[Log], *, now: datetime) -> list[int]:
    """For how many microseconds each log has no slot."""
    return _waits(logs, {}, stamp=now, now=now)


def counts(logs: Sequence[Log], *, now: datetime) -> list[int]:
    """How many stamps each log has in the window of its first rule."""
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNTS,
            {
                "positions": list(range(len(logs))),
                "layers": [log.layer for log in logs],
                "subjects": [log.subject_id for log in logs],
                "since": [now - timedelta(microseconds=log.rules[0].window) for log in logs],
            },
        )
        found = dict(cursor.fetchall())
    return [found.get(position, 0) for position in range(len(logs))]


def _decide(visit: Visit, taken: defaultdict[Log, int], *, stamp: datetime, now: datetime) -> Verdict:
    granted: list[int] = []
    refused: dict[int, Refusal] = {}
    after = _waits(visit.shared, taken, stamp=stamp, now=now)
    for position, candidate in enumerate(visit.candidates):
        if any(after):
            break
        own = zip(candidate.own, _waits(candidate.own, taken, stamp=stamp, now=now), strict=True)
        refusal = next((Refusal(log, wait) for log, wait in own if wait), None)
        if refusal:
            refused[position] = refusal
            continue
        for log in (*visit.shared, *candidate.own):
            taken[log] += 1
        granted.append(position)
        after = _waits(visit.shared, taken, stamp=stamp, now=now)
    return Verdict(granted=tuple(granted), refused=refused, waits=tuple(after))


def _waits(logs: Sequence[Log], taken: dict[Log, int], *, stamp: datetime, now: datetime) -> list[int]:
    rules = [(position, log, rule) for position, log in enumerate(logs) for rule in log.rules]
    with connection.cursor() as cursor:
        cursor.execute(
            _WAITS,
            {
                "positions": [position for position, _, _ in rules],
                "layers": [log.layer for _, log, _ in rules],
                "subjects": [log.subject_id for _, log, _ in rules],
                "counts": [rule.count for _, _, rule in rules],
                "windows": [rule.window for _, _, rule in rules],
                "taken": [taken.get(log, 0) for _, log, _ in rules],
                "stamp": stamp,
                "now": now,
            },
        )
        found = dict(cursor.fetchall())
    return [max(0, found.get(position, 0)) for position in range(len(logs))]
