"""Slots after the attempt: corrected to when it ended, or given back."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from apps.messaging.limiter import sql_logs
from apps.messaging.limiter.rules import Ended, LimiterUnavailableError, Log, StaleEpochError, microseconds
from apps.messaging.models import Account, Message, Mode, Outbox
from apps.messaging.services import due
from apps.messaging.services import epoch as epochs
from apps.messaging.services.epoch import Epoch
from apps.messaging.services.limits import read_limits
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

# For how long accounts have no slot. One that isn't in it had a slot before, so that nobody was put off.
Waits = dict[UUID, timedelta]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that is over since then, or of which nothing was ever under way: None."""

    message_id: UUID
    number: int
    ended_at: datetime | None
    account_log: Log
    logs: tuple[Log, ...]

    def ended(self, *, now: datetime) -> Ended:
        age = None if self.ended_at is None else max(0, microseconds(now - self.ended_at))
        return Ended(self.message_id, self.number, age, self.logs)


def settle_in(epoch: Epoch, attempts: Sequence[Attempt], *, now: datetime, at: int | None) -> Waits:
    """Correct the stamps in Redis, in this epoch. Raises LimiterUnavailableError, StaleEpochError."""
    by_account = _by_account(attempts, now=now)
    if not by_account:
        return {}
    with epochs.logs().connection() as redis:
        waits = redis.settle(list(by_account.items()), epoch=epoch.number, now=at)
    return _spans(by_account, waits)


def settle(attempts: Sequence[Attempt], *, now: datetime, at: int | None) -> Waits:
    """Correct the stamps in the epoch in force. The accounts are locked, and the rows have been corrected.

    Redis may be away, or keep another epoch: the accounts' logs are then loaded from these rows before they
    count again. Until then nothing is known, so that claims had better look at once.
    """
    by_account, in_force = _by_account(attempts, now=now), epochs.current()
    if in_force.mode == Mode.POSTGRES:
        return _spans(by_account, sql_logs.waits(list(by_account), now=now))
    try:
        return settle_in(in_force, attempts, now=now, at=at)
    except (LimiterUnavailableError, StaleEpochError) as error:
        log.warning("slots.not_settled", number=len(attempts), error=f"{type(error).__name__}: {error}")
        due.load_anew(account.subject_id for account in by_account if account.subject_id)
        return _spans(by_account, [0] * len(by_account))


def give_back(attempts: Sequence[Attempt], *, now: datetime, at: int | None) -> None:
    """Free the slots of attempts that never began, whose accounts' logs are read anew anyway.

    Where that fails, the layers above the accounts miss these slots until they expire.
    """
    with system_transaction():
        in_force = epochs.current()
    if in_force.mode == Mode.POSTGRES:
        return
    try:
        settle_in(in_force, attempts, now=now, at=at)
    except (LimiterUnavailableError, StaleEpochError) as error:
        log.warning("slots.not_given_back", number=len(attempts), error=f"{type(error).__name__}: {error}")


def _by_account(attempts: Sequence[Attempt], *, now: datetime) -> dict[Log, list[Ended]]:
    by_account: defaultdict[Log, list[Ended]] = defaultdict(list)
    for each in attempts:
        by_account[each.account_log].append(each.ended(now=now))
    return by_account


def _spans(accounts: Iterable[Log], waits: Iterable[int | None]) -> Waits:
    return {
        account.subject_id: timedelta(microseconds=wait)
        for account, wait in zip(accounts, waits, strict=True)
        if account.subject_id and wait is not None
    }


def attempts_of(messages: Iterable[Message]) -> list[Attempt]:
    """The latest attempts of messages, none of which has begun."""
    messages = list(messages)
    accounts = Account.objects.defer("credential").in_bulk({each.account_id for each in messages})
    boxes = Outbox.objects.filter(pk__in={each.outbox_id for each in messages if each.outbox_id})
    users = dict(boxes.values_list("pk", "user_id"))
    by_message = {
        each.pk: each.user_id or (users.get(each.outbox_id) if each.outbox_id else None) for each in messages
    }
    limits = read_limits({*by_message.values(), *(each.tenant_id for each in messages)})
    found = []
    for each in messages:
        of_account, *others = limits.logs(
            accounts[each.account_id], user_id=by_message[each.pk], fan_id=each.fan_id
        )
        found.append(Attempt(each.pk, each.attempt, None, of_account, tuple(others)))
    return found
