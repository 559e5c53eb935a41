"""Alerts, deliveries and targets in the operator's admin."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from apps.notifications.channels.webhook import read_signing_key
from apps.notifications.models import Alert, Channel, DeliveryState, NotificationTarget
from apps.notifications.rules import known_rules
from apps.notifications.services import deliveries as service
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from huntaze.celery import app
from tests import factories
from tests.notifications.alerting import alert, delivery, send, target
from tests.notifications.receivers import MailServer, Receiver
from tests.services import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

ADD = "/admin/notifications/notificationtarget/add/"
NEW = {
    "tenant": "",
    "channel": "webhook",
    "name": "Pager",
    "address": "",
    "url": "https://example.com/alerts",
    "signing_key": "",
    "minimum_level": "warning",
    "muted_rules": "",
    "digest_minutes": "0",
    "is_active": "on",
    **{
        f"deliveries-{name}": "0"
        for name in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")
    },
}


@pytest.fixture
def browser(client: Client, db: None) -> Client:
    client.force_login(factories.user(is_staff=True, is_superuser=True, email="ada@example.com"))
    return client


@pytest.fixture(autouse=True)
def hinted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sent: list[str] = []
    monkeypatch.setattr(app, "send_task", lambda name, kwargs, **_: sent.append(kwargs["channel"]))
    return sent


def act(browser: Client, row: Any, name: str) -> str:
    """Press a button above the list for one row; what the page says."""
    model = row._meta.model_name
    url = reverse(f"admin:notifications_{model}_changelist")
    answer = browser.post(url, {"action": name, "_selected_action": [str(row.pk)]})
    return [str(message) for message in get_messages(answer.wsgi_request)][-1]


def fresh(row: Any) -> Any:
    with system_transaction():
        return type(row).objects.get(pk=row.pk)


def raised(tenant: Tenant, **fields: Any) -> Alert:
    found = alert(tenant, **fields)
    assert found is not None
    return found


def test_an_alert_is_acknowledged_muted_and_unmuted(browser: Client, agency: Tenant) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example")
    found = raised(agency)
    assert act(browser, found, "acknowledge") == "Acknowledged."
    assert fresh(found).acknowledged_by == "ada@example.com"
    assert "acknowledged already" in act(browser, found, "acknowledge")
    act(browser, found, "mute_a_day")
    assert timedelta(hours=23) < fresh(found).muted_until - timezone.now() <= timedelta(days=1)
    assert delivery().state == DeliveryState.MUTED
    page = browser.get(reverse("admin:notifications_alert_changelist"), {"muted": "now"})
    assert "daily_cost" in page.content.decode()
    act(browser, found, "mute_a_week")
    assert fresh(found).muted_until - timezone.now() > timedelta(days=6)
    act(browser, found, "unmute")
    assert fresh(found).muted_until is None


def test_an_alert_whose_rule_and_subject_are_muted_says_so_and_is_unmuted(
    browser: Client, agency: Tenant
) -> None:
    first = raised(agency)
    act(browser, first, "mute_a_day")
    later = raised(agency, period="2026-03-02")
    page = reverse("admin:notifications_alert_change", args=[later.pk])
    assert "Unmute" in browser.get(page).content.decode()
    until = date_format(timezone.localtime(fresh(first).muted_until), "DATETIME_FORMAT")
    assert until in browser.get(page).content.decode()
    act(browser, later, "unmute")
    assert "Unmuted." in browser.get(page).content.decode()
    assert "Unmute" not in browser.get(page).content.decode()


def test_sending_again_hints_at_once(
    browser: Client, agency: Tenant, slack: Receiver, hinted: list[str]
) -> None:
    slack.answers = [(404, {}, b"no_service"), (200, {}, b"ok")]
    target(agency, Channel.SLACK, slack.url)
    found = raised(agency)
    send()
    page = browser.get(reverse("admin:notifications_alert_change", args=[found.pk])).content.decode()
    assert "It answered 404: no_service" in page
    assert act(browser, found, "send_again") == "On its way."
    assert hinted == ["email", "slack", "webhook"]
    send()
    assert delivery().state == DeliveryState.SENT
    assert "there are no other targets" in act(browser, found, "send_again")
    assert act(browser, delivery(), "send_again") == "On its way."
    send()
    assert len(slack.posts) == 3


def test_a_test_of_a_target_shows_what_became_of_it(browser: Client, agency: Tenant, slack: Receiver) -> None:
    slack.answers = [(403, {}, b"invalid_token")]
    found = target(agency, Channel.SLACK, slack.url)
    said = act(browser, found, "send_test")
    assert "A test is on its way" in said
    send()
    url = reverse("admin:notifications_notificationtarget_change", args=[found.pk])
    assert "It answered 403: invalid_token" in browser.get(url).content.decode()


def test_a_target_that_is_off_is_not_tested(browser: Client, agency: Tenant) -> None:
    found = target(agency, Channel.SLACK, "https://x.example/", is_active=False)
    assert "switched off" in act(browser, found, "send_test")


def test_a_webhooks_key_is_made_shown_once_and_kept(browser: Client, agency: Tenant) -> None:
    answer = browser.post(ADD, {**NEW, "tenant": str(agency.pk)}, follow=True)
    page = answer.content.decode()
    (key,) = set(re.findall(r"whsec_[A-Za-z0-9+/=]+", page))
    read_signing_key(key)
    with system_transaction():
        made = NotificationTarget.objects.get()
    assert (made.signing_key, made.tenant_id, made.url) == (key, agency.pk, NEW["url"])
    url = reverse("admin:notifications_notificationtarget_change", args=[made.pk])
    page = browser.get(url).content.decode()
    assert key not in page
    assert NEW["url"] not in page
    answer = browser.post(url, {**NEW, "name": "Renamed", "url": ""})
    assert answer.status_code == 302
    assert (fresh(made).name, fresh(made).url, fresh(made).signing_key) == ("Renamed", NEW["url"], key)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "nonsense"}, "The URL can&#x27;t be right"),
        ({"url": f"https://1.1.1.1:{10**30}/"}, "The URL&#x27;s port has to be from 1 to 65535"),
        ({"signing_key": "secret"}, "A signing key is whsec_"),
        ({"channel": "email", "url": "", "address": "nobody"}, "Enter a valid email address"),
        ({"channel": "slack", "url": ""}, "The URL can&#x27;t be right"),
        ({"address": "ada@x.example"}, "E-mail needs an address"),
        (
            {"muted_rules": "daily_cost, nonsense, x"},
            "There is no rule “nonsense” or “x”. The rules are account_paused,",
        ),
        ({"name": "Pa\u2066ger"}, "A name is one line"),
        ({"digest_minutes": "2000"}, "less than or equal to 1440"),
    ],
)
def test_a_target_that_cannot_be_right_is_refused_with_words(
    given: dict[str, str], said: str, browser: Client
) -> None:
    answer = browser.post(ADD, {**NEW, **given})
    assert answer.status_code == 200
    assert said in answer.content.decode()


@pytest.mark.parametrize("channel", ["slack", "webhook"])
def test_a_url_that_leads_into_a_private_network_is_refused_before_it_is_saved(
    channel: str, browser: Client, settings: Any
) -> None:
    settings.PRIVATE_TARGETS = False
    given = {**NEW, "channel": channel, "url": "http://127.0.0.1/alerts"}
    answer = browser.post(ADD, given)
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors["url"] == ["127.0.0.1 is an address of a private network."]
    assert "HUNTAZE_PRIVATE_TARGETS" in answer.content.decode()
    settings.PRIVATE_TARGETS = True
    assert browser.post(ADD, given).status_code == 302
    settings.PRIVATE_TARGETS = False
    with system_transaction():
        made = NotificationTarget.objects.get()
    url = reverse("admin:notifications_notificationtarget_change", args=[made.pk])
    assert "private network" in browser.post(url, {**given, "url": "http://[::1]/"}).content.decode()
    assert browser.post(url, {**given, "url": "", "name": "Renamed"}).status_code == 302
    assert (fresh(made).name, fresh(made).url) == ("Renamed", given["url"])


def test_every_rule_can_be_muted(browser: Client) -> None:
    """Those of docs/alerts.md, whether they are evaluated or raised by services."""
    named = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs/alerts.md").read_text(), re.MULTILINE)
    every = {*named, "account_unauthorised", "deployment_disabled"}
    assert every == set(known_rules())
    assert browser.post(ADD, {**NEW, "muted_rules": ", ".join(every)}).status_code == 302
    with system_transaction():
        assert set(NotificationTarget.objects.get().muted_rules) == every


def test_two_targets_of_one_name_are_refused(browser: Client) -> None:
    assert browser.post(ADD, NEW).status_code == 302
    assert "There is a target of this channel and name already" in browser.post(ADD, NEW).content.decode()


def test_mail_that_no_server_was_there_for_can_be_read(
    browser: Client, client: Client, agency: Tenant, settings: Any, tmp_path: Path
) -> None:
    settings.MAIL_SERVER, settings.MAIL_FOLDER = None, tmp_path
    target(agency, Channel.EMAIL, "ada@agency.example")
    raised(agency, message="<script>alert(1)</script>")
    send()
    found = delivery()
    url = reverse("admin:notifications_delivery_mail", args=[found.pk])
    assert (
        url in browser.get(reverse("admin:notifications_delivery_change", args=[found.pk])).content.decode()
    )
    answer = browser.get(url)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert b"<script>alert(1)</script>" in answer.content
    service_path = tmp_path / f"{found.envelope_id}.eml"
    service_path.unlink()
    assert browser.get(url).status_code == 404
    client.force_login(factories.user(is_staff=True))
    assert client.get(url).status_code == 403


def test_a_delivery_on_its_way_has_no_button(browser: Client, agency: Tenant, mail: MailServer) -> None:
    target(agency, Channel.EMAIL, "ada@agency.example")
    raised(agency)
    found = delivery()
    page = reverse("admin:notifications_delivery_change", args=[found.pk])
    assert "Send again" not in browser.get(page).content.decode()
    assert service.claim(channel=Channel.EMAIL, now=timezone.now())
    assert "on its way already" in act(browser, found, "send_again")
