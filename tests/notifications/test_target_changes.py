"""Targets that are renamed or deleted while alerts are on their way to them."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from apps.common.errors import ConflictError
from apps.notifications.channels.base import Postponed, Sent
from apps.notifications.models import Alert, Channel, DeliveryState, NotificationTarget
from apps.notifications.services import deliveries as service
from apps.notifications.services.alerts import raise_alert
from apps.notifications.services.targets import test_target as send_test
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.conftest import client_of
from tests.costs.threads import a_lock_is_waited_for
from tests.notifications.alerting import alert, deliveries, delivery, send, target
from tests.notifications.receivers import MailServer, Receiver
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

ADA = "ada@agency.example"
REMOVED = "The target was removed."


def delete_through_the_api(found: NotificationTarget, agency: Tenant) -> None:
    answer = client_of(agency, Role.OWNER).delete(f"/api/v2/costs/targets/{found.pk}")
    assert answer.status_code == 204


def delete_in_the_admin(found: NotificationTarget, _: Tenant) -> None:
    answer = operator().post(
        reverse("admin:notifications_notificationtarget_delete", args=[found.pk]), {"post": "yes"}
    )
    assert answer.status_code == 302


def delete_above_the_list(found: NotificationTarget, _: Tenant) -> None:
    given = {"action": "delete_selected", "_selected_action": [str(found.pk)], "post": "yes"}
    answer = operator().post(reverse("admin:notifications_notificationtarget_changelist"), given)
    assert answer.status_code == 302


def operator() -> Client:
    client = Client()
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    return client


Delete = Callable[[NotificationTarget, Tenant], None]
each_way = pytest.mark.parametrize(
    "delete", [delete_through_the_api, delete_in_the_admin, delete_above_the_list]
)


def beside(work: Callable[[], object]) -> threading.Thread:
    """Begin it on a thread, and go on once it waits for a lock, or is done."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(
        lambda: a_lock_is_waited_for() or not thread.is_alive(),
        seconds=10,
        what="a lock or the end",
        every=0.02,
    )
    return thread


@each_way
def test_a_target_that_is_deleted_meanwhile_costs_nobody_an_alert(delete: Delete, agency: Tenant) -> None:
    found = target(agency, Channel.WEBHOOK, "https://receiver.example/")

    with tenant_transaction(agency):
        raise_alert(tenant_id=agency.pk, rule="x", message="x", now=timezone.now())
        deleting = beside(lambda: delete(found, agency))
    deleting.join()

    assert (delivery().alert.rule, delivery().state, delivery().error) == ("x", DeliveryState.FAILED, REMOVED)
    with system_transaction():
        assert not NotificationTarget.objects.exists()


def test_an_alert_that_is_raised_during_a_deletion_is_kept_and_goes_to_the_others(agency: Tenant) -> None:
    gone = target(agency, Channel.WEBHOOK, "https://receiver.example/", name="gone")
    target(agency, Channel.WEBHOOK, "https://receiver.example/", name="stays")

    with tenant_transaction(agency):
        gone.delete()
        raising = beside(lambda: alert(agency))
    raising.join()

    assert delivery().target == "stays"


def test_a_target_that_is_gone_is_not_tested(agency: Tenant) -> None:
    found = target(agency, Channel.WEBHOOK, "https://receiver.example/")
    with system_transaction():
        NotificationTarget.objects.filter(pk=found.pk).delete()
        with pytest.raises(ConflictError, match=REMOVED):
            send_test(target=found, now=timezone.now())
        assert not Alert.objects.exists()


@each_way
def test_what_is_on_its_way_to_an_address_that_is_an_owners_too_fails(
    delete: Delete, agency: Tenant, mail: MailServer
) -> None:
    factories.user(tenant=agency, role=Role.OWNER, email=ADA)
    found = target(agency, Channel.EMAIL, ADA)
    alert(agency)
    delete(found, agency)
    send()
    assert (delivery().state, delivery().error, mail.mails) == (DeliveryState.FAILED, REMOVED, [])


def test_what_is_on_its_way_to_a_target_named_like_the_environments_fails(
    agency: Tenant, slack: Receiver, settings: Any
) -> None:
    settings.SLACK_WEBHOOK_URL = slack.url
    found = target(agency, Channel.SLACK, slack.url, name="SLACK_WEBHOOK_URL")
    alert(agency)
    delete_through_the_api(found, agency)
    send()
    assert (delivery().state, delivery().error, slack.posts) == (DeliveryState.FAILED, REMOVED, [])


def test_what_is_being_sent_when_its_target_goes_is_not_tried_again(agency: Tenant) -> None:
    factories.user(tenant=agency, role=Role.OWNER, email=ADA)
    found = target(agency, Channel.EMAIL, ADA)
    alert(agency)
    now = timezone.now()
    claimed = service.claim(channel=Channel.EMAIL, now=now)
    assert claimed
    delete_through_the_api(found, agency)
    service.record(claimed, Postponed("away"), now=now)
    assert (delivery().state, delivery().error) == (DeliveryState.FAILED, REMOVED)
    service.record(claimed, Sent(), now=now)
    assert delivery().state == DeliveryState.SENT


def test_an_alert_that_a_target_was_told_of_is_not_told_again_under_its_new_name(
    agency: Tenant, slack: Receiver
) -> None:
    found = target(agency, Channel.SLACK, slack.url, name="#alerts")
    told = alert(agency)
    assert told
    send()
    _rename(found, agency)
    with system_transaction(), pytest.raises(ConflictError, match="there are no other targets"):
        service.send_alert_again(alert=told, now=timezone.now())
    assert (len(slack.posts), len(deliveries())) == (1, 1)


def test_one_envelope_at_a_time_goes_to_a_target_under_both_of_its_names(
    agency: Tenant, slack: Receiver
) -> None:
    found = target(agency, Channel.SLACK, slack.url, name="#alerts")
    alert(agency, subject="before")
    _rename(found, agency)
    alert(agency, subject="after")
    now = timezone.now()
    assert service.claim(channel=Channel.SLACK, now=now)
    assert service.claim(channel=Channel.SLACK, now=now) is None


def _rename(found: NotificationTarget, agency: Tenant) -> None:
    api: APIClient = client_of(agency, Role.OWNER)
    assert api.patch(f"/api/v2/costs/targets/{found.pk}", {"name": "#trouble"}).status_code == 200
