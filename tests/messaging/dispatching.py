"""What tests of the dispatch engine share: rows that are due, the engine's steps, what came of them."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet, Value
from django.utils import timezone

from apps.common.priority import Priority
from apps.messaging.limiter.rules import to_stamp
from apps.messaging.models import Account, Fan, Message, Outbox
from apps.messaging.services import claim, outboxes, send, sweep
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.conftest import Sandbox
from tests.http_client import http


def outbox_of(tenant: Tenant, *, priority: Priority = Priority.MEDIUM) -> Outbox:
    return factories.outbox(tenant=tenant, priority=priority)


def enqueue(
    account: Account,
    number: int = 1,
    *,
    outbox: Outbox | None = None,
    fans: Sequence[Fan] = (),
    text: str = "Hello",
    price: Decimal | None = None,
    now: datetime | None = None,
) -> Outbox:
    """An outbox with so many queued messages, each to a fan of its own."""
    now = now or timezone.now()
    outbox = outbox or factories.outbox(tenant=Tenant(pk=account.tenant_id))
    fans = fans or factories.fans(number, account=account)
    with system_transaction():
        outboxes.enqueue_texts(
            outbox=outbox,
            account_id=account.pk,
            texts=texts_to(fans, text),
            price=price,
            not_before=now,
            after=None,
            now=now,
        )
    return outbox


def texts_to(fans: Iterable[Fan], text: str = "Hello") -> QuerySet[Fan]:
    """Rows from which `enqueue_texts` enqueues the same text to each of these fans."""
    rows = Fan.objects.filter(pk__in=[fan.pk for fan in fans])
    return rows.annotate(fan_id=F("pk"), text=Value(text))


def grant(now: datetime | None = None) -> list[UUID]:
    """A claim at some time by every clock; without one, by the clocks themselves."""
    at = to_stamp(now) if now else None
    return list(claim.claim_messages(now=now or timezone.now(), at=at).message_ids)


def send_now(message_ids: Sequence[UUID]) -> None:
    send.send_batch(message_ids=message_ids, now=timezone.now())


def dispatch(now: datetime | None = None) -> list[UUID]:
    """Claim what is due and send it; the messages that were granted."""
    granted = grant(now)
    send_now(granted)
    return granted


def sweep_all(now: datetime) -> None:
    """The quick part and the slow one."""
    sweep.recover_messages(now=now)
    sweep.sweep_messages(now=now)


def rows(**filters: Any) -> list[Message]:
    with system_transaction():
        return list(Message.objects.filter(**filters).order_by("pk"))


def row(**filters: Any) -> Message:
    (found,) = rows(**filters)
    return found


def fresh(outbox_or_account: Any) -> Any:
    with system_transaction():
        return type(outbox_or_account).objects.get(pk=outbox_or_account.pk)


def counts(outbox: Outbox) -> dict[str, int]:
    """The counters that aren't zero; checked against the rows themselves."""
    found = fresh(outbox)
    names = ("queued", "sending", "sent", "unknown", "dead", "cancelled")
    counters = {name: getattr(found, name) for name in names if getattr(found, name)}
    states = [message.state for message in rows(outbox=outbox)]
    assert counters == {name: states.count(name) for name in names if states.count(name)}
    return counters


def change(account_or_message: Any, **fields: Any) -> None:
    with system_transaction():
        type(account_or_message).objects.filter(pk=account_or_message.pk).update(**fields)


def arrivals(gateway: Sandbox) -> list[dict[str, Any]]:
    """The gateway's ledger."""
    answer = http.get(f"{gateway.url}/arrivals").raise_for_status()
    return [json.loads(line) for line in answer.text.splitlines()]
