"""A broker that is away costs seconds, never a request: what was asked for is committed by then."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from kombu.exceptions import OperationalError
from rest_framework.test import APIClient

from apps.ai.hints import hint_generation
from apps.campaigns.hints import hint_campaign
from apps.common.ids import uuid7
from apps.messaging.hints import hint_resumed
from apps.messaging.models import Account
from tasks.base import Task
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("nobody there")

    monkeypatch.setattr(Task, "apply_async", fail)


@pytest.mark.parametrize(
    "hint", [lambda: hint_campaign(uuid7()), lambda: hint_generation(uuid7()), hint_resumed]
)
def test_a_hint_that_cannot_be_sent_is_only_logged(
    hint: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    with transaction.atomic():
        hint()
    assert "nobody there" in caplog.text


def test_a_campaign_is_accepted_without_the_broker(api: APIClient, account: Account) -> None:
    factories.fan(account=account)
    response = api.post(
        "/api/v2/campaigns/hybrid",
        {"name": "Summer", "type": "mass_message", "brief": "The lake.", "accounts": [str(account.pk)]},
    )
    assert response.status_code == 202
