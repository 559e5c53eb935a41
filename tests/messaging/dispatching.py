"""What tests of the dispatch engine share: rows that are due, the engine's steps, what came of them."""

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx2
from django.utils import timezone

from apps.common.priority import Priority
from apps.messaging.models import Account, Fan, Message, Outbox
from apps.messaging.services import claim, outboxes, send
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.conftest import Sandbox


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
        texts = [outboxes.FanText(account.pk, fan.pk, text) for fan in fans]
        outboxes.enqueue_texts(outbox=outbox, texts=texts, price=price, not_before=now, now=now)
    return outbox


def grant(now: datetime | None = None) -> list[UUID]:
    return list(claim.claim_messages(now=now or timezone.now()).message_ids)


def send_now(message_ids: Sequence[UUID]) -> None:
    send.send_batch(message_ids=message_ids, now=timezone.now())


def dispatch(now: datetime | None = None) -> list[UUID]:
    """Claim what is due and send it; the messages that were granted."""
    granted = grant(now)
    send_now(granted)
    return granted


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
    answer = httpx2.get(f"{gateway.url}/arrivals").raise_for_status()
    return [json.loads(line) for line in answer.text.splitlines()]
