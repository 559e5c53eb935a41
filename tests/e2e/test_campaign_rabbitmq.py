"""The same flow with RabbitMQ as the broker: TEST_BROKER_URL names a virtual host that nobody else uses."""

import os
from collections.abc import Iterator

import kombu
import pytest

from huntaze.celery import QUEUES
from huntaze.stack import Stack
from tests.live import (
    Platform,
    check_delivered_once,
    live_stack,
    new_agency,
    new_campaign,
    new_creator,
    wait_for_status,
)
from tests.services import HOME

URL = os.environ.get("TEST_BROKER_URL", "")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not URL.startswith("amqp"), reason="TEST_BROKER_URL names no RabbitMQ (amqp://…)"),
]


def delete_queues() -> None:
    with kombu.Connection(URL) as connection, connection.channel() as channel:
        for name in QUEUES:
            kombu.Queue(name, channel=channel).delete()


@pytest.fixture
def services() -> Iterator[Stack]:
    delete_queues()
    with live_stack(HOME / "rabbitmq", environment={"CELERY_BROKER_URL": URL}) as services:
        yield services
    delete_queues()


def test_a_campaign_runs_over_quorum_queues(services: Stack) -> None:
    ada = new_agency(services)
    creators = [new_creator(ada, fans=13), new_creator(ada, fans=2)]
    campaign = new_campaign(ada, *creators, approval="automatic")
    status = wait_for_status(ada, campaign, "finished")
    assert status["counts"]["sent"] == 15
    check_delivered_once(Platform(services.gateway_url), *creators)
    with kombu.Connection(URL) as connection, connection.channel() as channel:
        # Refused, if they were queues of another kind.
        for name in QUEUES:
            kombu.Queue(name, channel=channel, queue_arguments={"x-queue-type": "quorum"}).queue_declare()
