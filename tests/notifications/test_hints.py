"""Hints: sent after the commit, and never in anybody's way."""

import threading
from typing import Any

import pytest
from django.db import connection
from kombu.exceptions import OperationalError as BrokerError

from apps.common.ids import uuid7
from apps.costs import hints as costs_hints
from apps.notifications.hints import hint_deliveries
from apps.notifications.models import Channel
from apps.notifications.services import sending
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from huntaze.celery import app
from tasks.costs import check_budgets
from tasks.notifications import send_due
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nothing_hinted_before(monkeypatch: pytest.MonkeyPatch) -> None:
    costs_hints._hinted.clear()
    monkeypatch.setattr(costs_hints, "_last", None)


def test_deliveries_are_hinted_after_the_commit_on_every_thread(
    agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(app, "send_task", lambda name, kwargs, **_: sent.append(kwargs["channel"]))

    def hint() -> None:
        with tenant_transaction(agency):
            hint_deliveries()
            assert sent == []
        connection.close()

    thread = threading.Thread(target=hint)
    thread.start()
    thread.join()
    assert sent == ["email", "slack", "webhook"]


def test_a_settlement_hints_once_a_second_and_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(check_budgets, "apply_async", lambda _, kwargs, **__: sent.append(kwargs))
    one, other = uuid7(), uuid7()
    for tenant in (one, one, other, one):
        costs_hints.hint_settled(tenant)
        assert costs_hints._last is not None
        costs_hints._last.result(5)
    assert sent == [{"tenant_id": str(one)}, {"tenant_id": str(other)}]
    monkeypatch.setattr(costs_hints, "EVERY_S", 0)
    costs_hints.hint_settled(one)
    wait_until(lambda: len(sent) == 3, seconds=5, what="the third hint")


def test_a_broker_that_is_away_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, tries = threading.Event(), []

    def hang(*_: Any, **__: Any) -> None:
        tries.append(1)
        hanging.wait(10)
        raise BrokerError("away")

    monkeypatch.setattr(check_budgets, "apply_async", hang)
    for _ in range(20):
        costs_hints.hint_settled(uuid7())
    assert costs_hints._last is not None
    assert not costs_hints._last.done()
    hanging.set()
    costs_hints._last.result(5)
    assert len(tries) == 1


def test_a_channel_that_hangs_takes_two_threads_and_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go_on, inside = threading.Event(), []

    def hang(*, channel: Channel, clock: Any) -> None:
        inside.append(channel)
        if channel == Channel.EMAIL:
            go_on.wait(10)

    monkeypatch.setattr(sending, "send_due", hang)
    hung = [threading.Thread(target=send_due, kwargs={"channel": "email"}) for _ in range(4)]
    for thread in hung:
        thread.start()
    wait_until(lambda: sum(thread.is_alive() for thread in hung) == 2, seconds=5, what="two to give way")
    send_due(channel="slack")
    assert sorted(inside) == [Channel.EMAIL, Channel.EMAIL, Channel.SLACK]
    go_on.set()
    for thread in hung:
        thread.join()
