"""What becomes of messages when their attempts have ended: the table of outcomes."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import connection

from apps.common.text import storable
from apps.messaging.backoff import full_jitter
from apps.messaging.gateways.base import (
    Dead,
    HandedBack,
    NotConnected,
    Result,
    Sent,
    Throttled,
    Unauthorised,
    Unknown,
)
from apps.messaging.limiter.rules import LimiterUnavailableError, StaleEpochError
from apps.messaging.models import Message, MessageState, Mode
from apps.messaging.services import accounts, breakers, due, slots, transitions
from apps.messaging.services.changes import Changes
from apps.messaging.services.epoch import Epoch
from apps.messaging.services.slots import Attempt, Waits
from apps.messaging.services.tally import Tally
from apps.messaging.timing import THROTTLE_AT_LEAST, THROTTLE_AT_MOST
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

_OPEN = frozenset({MessageState.SENDING, MessageState.UNKNOWN})
# Nothing of such an attempt can have reached the platform.
_NEVER_BEGUN = (NotConnected, HandedBack)

# By far the most frequent outcome, in one statement. What isn't as it should be goes the long way.
_CONFIRM = """
UPDATE messaging_message AS message
SET state = 'sent', sent_at = done.at, finished_at = done.at, platform_id = done.platform_id,
    slots = message.slots[:cardinality(message.slots) - 1]
        || GREATEST(message.slots[cardinality(message.slots) - 1],
                    LEAST(message.slots[cardinality(message.slots)], done.at)),
    lease_expires_at = NULL, send_by = NULL, started_at = NULL
FROM unnest(%(ids)s::uuid[], %(attempts)s::int[], %(ats)s::timestamptz[], %(platform_ids)s::text[])
    AS done (id, attempt, at, platform_id)
WHERE message.id = done.id AND message.attempt = done.attempt AND message.state = 'sending'
RETURNING message.id, message.outbox_id
"""


@dataclass(frozen=True, slots=True)
class PutOff:
    """Accounts that somebody else had locked when outcomes of theirs were written.

    Until they are reconsidered, they may be looked at too late. `over` are their attempts that have ended,
    `back` says when those of their messages may go that are back in the queue.
    """

    account_ids: Set[UUID] = frozenset()
    over: Sequence[Attempt] = ()
    back: Mapping[UUID, datetime] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.account_ids)

    def plus(self, others: "PutOff") -> "PutOff":
        """These and others, as one."""
        sooner = {each: min(at, self.back.get(each, at)) for each, at in others.back.items()}
        return PutOff(
            self.account_ids | others.account_ids, [*self.over, *others.over], {**self.back, **sooner}
        )


def record(*, results: Sequence[Result], epoch: Epoch | None, now: datetime, at: int | None = None) -> PutOff:
    """Write the outcomes; bring accounts forward that have been put off, to the slots that this has freed.

    The limiter's stamps are corrected first, in the epoch given: the one that they were begun under, None if
    this is another try. Should we die after it, the rows say no more than that a request may have arrived
    later than it did. Where another epoch is in force by now it is done, or done again, when the rows are
    written: its logs may have been loaded from them before.

    Nobody's outcomes wait for an account that somebody else has locked: it is left to `reconsider`.
    """
    over = [_attempt(each) for each in results if not _may_arrive(each)]
    waits = _settle(over, epoch=epoch, now=now, at=at)
    accounts = {each.request.account_id for each in results if not _may_arrive(each)}
    if waits is not None:
        accounts = waits.keys() | {each.request.account_id for each in results if _comes_back(each)}
    changes = Changes()
    with system_transaction():
        # In order, and before those are locked for which nobody waits.
        _restrict_accounts(results, now=now)
        locked = due.lock(accounts, waits=False) if accounts else {}
        back = _write(results, changes, now=now)
        if waits is None:
            waits = _settle_again(_of(locked, over), locked, now=now, at=at)
        # A claim may have loaded their logs from the rows as they were before.
        due.load_anew(_given_back(results) & locked.keys())
        _bring_forward(locked, waits, back, now=now)
        breakers.note(results, now=now)
        changes.tally.write()
    _tell(results)
    return _put_off(accounts - locked.keys(), over, back)


def reconsider(put_off: PutOff, *, now: datetime, at: int | None = None) -> PutOff:
    """Have those that nobody has locked looked at as soon as there is a reason. Returns the others."""
    with system_transaction():
        locked = due.lock(put_off.account_ids, waits=False)
        waits = _settle_again(_of(locked, put_off.over), locked, now=now, at=at)
        _bring_forward(locked, waits, put_off.back, now=now)
    return _put_off(put_off.account_ids - locked.keys(), put_off.over, put_off.back)


def _put_off(account_ids: Set[UUID], over: Iterable[Attempt], back: Mapping[UUID, datetime]) -> PutOff:
    return PutOff(account_ids, _of(account_ids, over), back)


def _of(accounts: Container[UUID | None], over: Iterable[Attempt]) -> list[Attempt]:
    return [each for each in over if each.account_log.subject_id in accounts]


def _settle(over: Sequence[Attempt], *, epoch: Epoch | None, now: datetime, at: int | None) -> Waits | None:
    """Correct the stamps in Redis; None where that isn't possible, or not enough."""
    if epoch is None or epoch.mode == Mode.POSTGRES:
        return None
    try:
        return slots.settle_in(epoch, over, now=now, at=at)
    except (LimiterUnavailableError, StaleEpochError):
        return None


def _settle_again(over: Sequence[Attempt], locked: Iterable[UUID], *, now: datetime, at: int | None) -> Waits:
    """Correct the stamps of locked accounts in the epoch in force."""
    if not over:
        return dict.fromkeys(locked, timedelta())
    # Who had a slot before has been put off all the same, if it was corrected a moment ago.
    return dict.fromkeys(locked, timedelta()) | slots.settle(over, now=now, at=at)


def _bring_forward(
    locked: Mapping[UUID, datetime | None], waits: Waits, back: Mapping[UUID, datetime], *, now: datetime
) -> None:
    """Have locked accounts looked at as soon as there is a reason."""
    due.hasten({account_id: now + wait for account_id, wait in waits.items()}, locked=locked)
    due.bring_forward_each({account_id: when for account_id, when in back.items() if account_id in locked})


def hand_back(
    *, message_ids: Sequence[UUID], now: datetime, at: int | None = None, waits: bool = True
) -> int:
    """Return granted messages that nobody has started to the queue, with their slots. Returns how many.

    Unless it `waits`, those of accounts that somebody else has locked are left as they are. The accounts'
    logs are read anew from the rows, so dying after the commit costs no more than the slots of the layers
    above them, until they expire. Those aren't given back before: whoever has the same batch could still
    start them if this were undone.
    """
    changes = Changes()
    with system_transaction():
        accounts = dict(Message.objects.filter(pk__in=message_ids).values_list("pk", "account_id"))
        locked = due.lock(set(accounts.values()), waits=waits)
        free = [message_id for message_id, account_id in accounts.items() if account_id in locked]
        rows = [row for row in _lock(free) if row.state == MessageState.SENDING and not row.started_at]
        attempts = slots.attempts_of(rows)
        for row in rows:
            transitions.give_back(row, changes, not_before=row.not_before)
        changes.write_messages()
        due.load_anew({row.account_id for row in rows})
        due.bring_forward_each(due.firsts(rows))
        changes.tally.write()
    slots.give_back(attempts, now=now, at=at)
    return len(rows)


def _given_back(results: Iterable[Result]) -> set[UUID]:
    """The accounts with attempts that never began."""
    return {each.request.account_id for each in results if isinstance(each.outcome, _NEVER_BEGUN)}


def _comes_back(result: Result) -> bool:
    """Whether its message may go back into the queue."""
    return isinstance(result.outcome, (*_NEVER_BEGUN, Throttled, Unauthorised))


def _may_arrive(result: Result) -> bool:
    """Whether its request may still be on its way."""
    return isinstance(result.outcome, Unknown) and not result.outcome.over


def _attempt(result: Result) -> Attempt:
    began = not isinstance(result.outcome, _NEVER_BEGUN)
    return Attempt(
        message_id=result.request.message_id,
        number=result.request.attempt,
        ended_at=result.ended_at if began else None,
        account_log=result.request.account_log,
        logs=result.request.logs,
    )


def _restrict_accounts(results: Sequence[Result], *, now: datetime) -> None:
    """Pause whom the platform no longer knows, block whom it slows down; before any message is locked."""
    unauthorised: set[UUID] = set()
    blocked: dict[UUID, datetime] = {}
    for result in results:
        account_id = result.request.account_id
        if isinstance(result.outcome, Unauthorised):
            unauthorised.add(account_id)
        elif isinstance(result.outcome, Throttled):
            until = result.ended_at + _clamp(result.outcome.retry_after)
            blocked[account_id] = max(until, blocked.get(account_id, until))
    for account_id in sorted(unauthorised | set(blocked)):
        if account_id in unauthorised:
            accounts.pause_unauthorised(account_id=account_id, now=now)
        if account_id in blocked:
            due.block({account_id: blocked[account_id]})


def _clamp(wait: timedelta) -> timedelta:
    return max(THROTTLE_AT_LEAST, min(wait, THROTTLE_AT_MOST))


def _write(results: Sequence[Result], changes: Changes, *, now: datetime) -> dict[UUID, datetime]:
    """Write all outcomes but the counters.

    Returns the accounts with messages back in the queue, and when these may go.
    """
    confirmed = _confirm([each for each in results if isinstance(each.outcome, Sent)], changes.tally)
    rest = {each.request.message_id: each for each in results if each.request.message_id not in confirmed}
    back: list[Message] = []
    for message in _lock(rest):
        result = rest[message.pk]
        if _counts(result, message):
            _apply(result, message, changes, now=now)
        # Perhaps since an earlier try, of whose commit nobody heard.
        if message.state == MessageState.QUEUED and message.attempt == result.request.attempt:
            back.append(message)
    changes.write_messages()
    return due.firsts(back)


def _confirm(results: Sequence[Result], tally: Tally) -> set[UUID]:
    """The messages that became sent."""
    rows = sorted(results, key=lambda each: each.request.message_id)
    if not rows:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(
            _CONFIRM,
            {
                "ids": [each.request.message_id for each in rows],
                "attempts": [each.request.attempt for each in rows],
                "ats": [each.ended_at for each in rows],
                "platform_ids": [_platform_id(each) for each in rows],
            },
        )
        found = cursor.fetchall()
    for _, outbox_id in found:
        tally.move(outbox_id, MessageState.SENDING, MessageState.SENT)
    return {message_id for message_id, _ in found}


def _platform_id(result: Result) -> str:
    assert isinstance(result.outcome, Sent)
    return str(storable(result.outcome.platform_id))[: transitions.LONGEST_ID]


def _lock(message_ids: Iterable[UUID]) -> list[Message]:
    rows = Message.objects.select_for_update(no_key=True).filter(pk__in=list(message_ids))
    return list(rows.order_by("pk")) if message_ids else []


def _counts(result: Result, message: Message) -> bool:
    """An outcome counts for its own attempt, while that is open; “sent” also when it was given up."""
    if result.request.attempt != message.attempt:
        return False
    return message.state in _OPEN or (
        isinstance(result.outcome, Sent) and message.state == MessageState.QUEUED
    )


def _apply(result: Result, message: Message, changes: Changes, *, now: datetime) -> None:
    outcome, ended_at = result.outcome, result.ended_at
    if not _may_arrive(result) and not isinstance(outcome, _NEVER_BEGUN):
        transitions.correct_slot(message, ended_at=ended_at)
    match outcome:
        case Sent(platform_id=platform_id):
            transitions.confirm(message, changes, platform_id=platform_id, now=ended_at)
        case Dead(reason=reason, error=error):
            transitions.bury(message, changes, reason=reason, error=error, now=ended_at)
        case Unauthorised(error=error):
            transitions.requeue(message, changes, not_before=now, reason="unauthorised", error=error)
        case Throttled():
            transitions.requeue(message, changes, not_before=now, reason="throttled")
        case NotConnected(error=error):
            later = now + full_jitter(message.attempt)
            transitions.give_back(message, changes, not_before=later, reason="not_connected", error=error)
        case HandedBack():
            transitions.give_back(message, changes, not_before=message.not_before)
        case Unknown(reason=reason, error=error):
            transitions.doubt(message, changes, reason=reason, error=error)


def _tell(results: Sequence[Result]) -> None:
    """One line per batch, and one for each message that wasn't simply sent."""
    log.info("messages.attempted", **Counter(type(each.outcome).__name__ for each in results))
    for each in results:
        if not isinstance(each.outcome, Sent):
            log.info(
                "message.attempted",
                message_id=str(each.request.message_id),
                account_id=str(each.request.account_id),
                attempt=each.request.attempt,
                outcome=type(each.outcome).__name__,
            )
