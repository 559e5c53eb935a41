"""The claim: due accounts get slots of their limits for the heads of their queues."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog
from django.db import connection

from apps.messaging.gateways.registry import connected_platforms
from apps.messaging.limiter import Admission, Candidate, Log, admit
from apps.messaging.models import Account, Message, MessageState
from apps.messaging.quiet import quiet_until
from apps.messaging.services import queue, slots, transitions
from apps.messaging.services.changes import Changes
from apps.messaging.services.rendering import RenderError, render
from apps.messaging.timing import LATEST_ARRIVAL
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

ACCOUNTS_AT_ONCE = 50
MESSAGES_A_VISIT = 10
# Beyond so many messages on their way the senders are behind: more grants would only expire.
LEASES_AT_MOST = 5000

# Tenants in turn, then their accounts by when they are due.
_LOCK_DUE = """
SELECT account.id
FROM messaging_account account
JOIN (
    SELECT due.id, row_number() OVER (PARTITION BY due.tenant_id ORDER BY due.next_due, due.id) AS turn
    FROM messaging_account due JOIN tenants_tenant tenant ON tenant.id = due.tenant_id
    WHERE due.next_due <= %(now)s AND due.paused_at IS NULL AND tenant.paused_at IS NULL
      AND due.platform = ANY(%(platforms)s)
) due ON due.id = account.id
WHERE account.next_due <= %(now)s AND account.paused_at IS NULL
ORDER BY due.turn, account.next_due
LIMIT %(most)s
FOR NO KEY UPDATE OF account SKIP LOCKED
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """The messages granted, and whether other accounts may be due right now."""

    message_ids: Sequence[UUID] = field(default=())
    more: bool = False


def claim_messages(*, now: datetime) -> Claim:
    """Visit the accounts that are due. What is granted has a lease and has to be on its way within 5 s.

    Locks accounts, then messages, then outboxes. A crash after it costs nothing but the granted slots, until
    the sweep gives them back.
    """
    with system_transaction():
        if _outstanding_leases() >= LEASES_AT_MOST:
            log.warning("claim.held", leases=LEASES_AT_MOST)
            return Claim()
        accounts = _lock_due_accounts(now=now)
        message_ids = _visit(accounts, now=now)
    if message_ids:
        log.info("messages.claimed", number=len(message_ids), accounts=len(accounts))
    more = len(accounts) == ACCOUNTS_AT_ONCE or any(
        account.next_due is not None and account.next_due <= now for account in accounts
    )
    return Claim(message_ids=message_ids, more=more)


def _outstanding_leases() -> int:
    """How many messages are on their way; counted no further than the bound."""
    sending = Message.objects.filter(state=MessageState.SENDING)
    return sending.order_by()[:LEASES_AT_MOST].count()


def _lock_due_accounts(*, now: datetime) -> list[Account]:
    with connection.cursor() as cursor:
        platforms = list(connected_platforms())
        cursor.execute(_LOCK_DUE, {"now": now, "platforms": platforms, "most": ACCOUNTS_AT_ONCE})
        account_ids = [account_id for (account_id,) in cursor.fetchall()]
    found = Account.objects.defer("credential").in_bulk(account_ids)
    return [found[account_id] for account_id in account_ids]


def _visit(accounts: Sequence[Account], *, now: datetime) -> list[UUID]:
    """One visit to each account; saves what it changes. Returns the messages granted."""
    awake = [account for account in accounts if not _fall_quiet(account, now=now)]
    awake_ids = [account.pk for account in awake]
    # A statement of its own, after the locks: it sees whatever was enqueued before them.
    heads = queue.heads(awake_ids, most=MESSAGES_A_VISIT, now=now)
    messages = _lock_messages([message_id for ids in heads.values() for message_id in ids])
    logs = slots.read_logs(awake, now=now)
    changes = Changes()
    granted: list[UUID] = []
    free = {}
    for account in awake:
        head = [messages[message_id] for message_id in heads[account.pk] if message_id in messages]
        admission = _serve(account, head, changes, log=logs[account.pk], now=now)
        free[account.pk] = admission.next_free
        granted += admission.granted
    changes.write()
    earliest = queue.earliest(awake_ids)
    for account in awake:
        first = earliest.get(account.pk)
        account.next_due = first and max(first, free[account.pk], now)
    Account.objects.bulk_update(accounts, ["next_due", "blocked_until"])
    return granted


def _fall_quiet(account: Account, *, now: datetime) -> bool:
    """Block the account until the end of its quiet hours, if it is in them."""
    ends = quiet_until(now, start=account.quiet_start, end=account.quiet_end, zone=account.time_zone)
    if ends is None:
        return False
    account.blocked_until = max(ends, account.blocked_until or ends)
    account.next_due = account.blocked_until
    return True


def _lock_messages(message_ids: Sequence[UUID]) -> dict[UUID, Message]:
    """Those that are still queued, with what rendering needs, locked in the order of their ids."""
    rows = (
        Message.objects.select_for_update(no_key=True, of=("self",))
        .select_related("fan", "template")
        .filter(pk__in=message_ids, state=MessageState.QUEUED)
        .order_by("pk")
    )
    return {row.pk: row for row in rows}


def _serve(
    account: Account, head: Sequence[Message], changes: Changes, *, log: Log, now: datetime
) -> Admission:
    """Grant the account's free slots to the head of its queue."""
    texts = _texts(account, head, changes, now=now)
    by_id = {message.pk: message for message in head}
    admission = admit(
        [Candidate(message_id=message_id, fan_id=by_id[message_id].fan_id) for message_id in texts],
        log=log,
        account=slots.account_limit(account),
        recipient=slots.recipient_limit(),
        stamp=now + LATEST_ARRIVAL,
        now=now,
    )
    for message_id in admission.granted:
        transitions.grant(by_id[message_id], changes, text=texts[message_id], now=now)
    for message_id, until in admission.refused.items():
        by_id[message_id].not_before = until
        changes.touch(by_id[message_id])
    return admission


def _texts(account: Account, head: Sequence[Message], changes: Changes, *, now: datetime) -> dict[UUID, str]:
    """The text of each message that may be sent; the others come to their end."""
    texts = {}
    for message in head:
        if not message.fan.consent:
            transitions.cancel(message, changes, reason="suppressed", now=now)
            continue
        try:
            texts[message.pk] = _text(message, account)
        except RenderError as error:
            transitions.bury(message, changes, reason=error.code, error=error.message, now=now)
    return texts


def _text(message: Message, account: Account) -> str:
    """Its text, which the first claim renders; every later attempt sends the same."""
    if message.text is not None or message.template is None:
        return message.text or ""
    return render(message.template.body, fan=message.fan, account=account)
