"""Claim, send, outcome: the way of a message that meets no trouble, against the gateway's own ledger."""

import pytest

from apps.messaging.models import Account
from tests.conftest import Sandbox
from tests.messaging import dispatching as d

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_due_message_is_sent(gateway: Sandbox, account: Account) -> None:
    outbox = d.enqueue(account, 3)

    d.dispatch()

    assert d.counts(outbox) == {"sent": 3}
    assert gateway.audit()["accepted"] == 3
    message = d.rows(outbox=outbox)[0]
    assert message.sent_at
    assert message.platform_id
    assert message.attempt == 1
