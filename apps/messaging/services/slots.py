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
from apps.messaging.services import epoch
from apps.messaging.services.limits import read_limits

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that is over: so long ago, or None if nothing of it was ever under way."""

    message_id: UUID
    number: int
    age: timedelta | None
    account_log: Log
    logs: tuple[Log, ...]

    @property
    def ended(self) -> Ended:
        age = None if self.age is None else max(0, microseconds(self.age))
        return Ended(self.message_id, self.number, age, self.logs)


def settle(attempts: Sequence[Attempt], *, now: datetime, at: int | None) -> dict[UUID, timedelta]:
    """Correct the limiter's stamps in the epoch in force. Returns for how long each account has no slot.

    The rows have been corrected, at least by this very transaction. Redis may be away, or keep another epoch:
    its logs are then loaded from these rows before they count again. Until then nothing is known, so that
    claims had better look at once.
    """
    by_account: defaultdict[Log, list[Ended]] = defaultdict(list)
    for each in attempts:
        by_account[each.account_log].append(each.ended)
    if not by_account:
        return {}
    accounts, in_force = list(by_account), epoch.current()
    try:
        if in_force.mode == Mode.POSTGRES:
            waits = sql_logs.waits(accounts, now=now)
        else:
            with epoch.logs().connection() as redis:
                waits = redis.settle(list(by_account.items()), epoch=in_force.number, now=at)
    except (LimiterUnavailableError, StaleEpochError) as error:
        log.warning("slots.not_settled", number=len(attempts), error=f"{type(error).__name__}: {error}")
        waits = [0] * len(accounts)
    return {
        account.subject_id: timedelta(microseconds=wait)
        for account, wait in zip(accounts, waits, strict=True)
        if account.subject_id
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
