from collections.abc import Iterator
from typing import Any

import pytest

from apps.notifications.channels import http
from apps.notifications.models import Channel
from apps.tenants.models import Tenant
from tests.notifications.alerting import target
from tests.notifications.receivers import MailServer, Receiver, mail_server, receiver


@pytest.fixture
def mail(settings: Any) -> Iterator[MailServer]:
    """A mail server, as EMAIL_URL names it."""
    with mail_server() as server:
        settings.MAIL_SERVER = {
            "host": "127.0.0.1",
            "port": server.port,
            "username": "",
            "password": "",
            "use_tls": False,
            "use_ssl": False,
        }
        settings.DEFAULT_FROM_EMAIL = "alerts@huntaze.example"
        yield server


@pytest.fixture
def slack() -> Iterator[Receiver]:
    with receiver() as server:
        yield server


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as server:
        yield server


@pytest.fixture
def everywhere(agency: Tenant, mail: MailServer, slack: Receiver, hook: Receiver) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example")
    target(agency, Channel.SLACK, slack.url)
    target(agency, Channel.WEBHOOK, hook.url)


@pytest.fixture(autouse=True)
def _receivers_are_on_this_machine(settings: Any) -> Iterator[None]:
    settings.PRIVATE_TARGETS = True
    settings.COST_ALERT_EMAIL = []
    settings.SLACK_WEBHOOK_URL = ""
    yield
    http._client().close()
    http._made_client.cache_clear()
