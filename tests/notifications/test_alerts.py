"""Raising, muting and acknowledging alerts, and who hears of them."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import ProgrammingError, transaction
from django.utils import timezone

from apps.common.errors import ConflictError, InvalidInputError
from apps.notifications.models import Alert, Channel, DeliveryState, NotificationTarget
from apps.notifications.services import alerts, targets
from apps.notifications.services import deliveries as service
from apps.notifications.services.alerts import raise_alert
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.notifications.alerting import alert, deliveries, delivery, send, target
from tests.notifications.receivers import MailServer

pytestmark = pytest.mark.django_db(transaction=True)

ADA, EVE = "ada@agency.example", "eve@stranger.example"


def raised(tenant: Tenant, **fields: Any) -> Alert:
    found = alert(tenant, **fields)
    assert found is not None
    return found


def told(**lookups: Any) -> list[str]:
    return [each.target for each in deliveries(**lookups)]


def test_what_was_raised_before_is_not_raised_again_and_another_period_is(agency: Tenant) -> None:
    assert alert(agency)
    assert alert(agency, message="In other words.") is None
    assert alert(agency, level="critical")
    assert alert(agency, period="2026-03-02")
    assert alert(agency, subject="x")
    assert alert(agency, rule="x")


def test_it_is_raised_with_the_callers_transaction_or_not_at_all(agency: Tenant) -> None:
    target(agency, Channel.EMAIL, ADA)
    with tenant_transaction(agency):
        raise_alert(tenant_id=agency.pk, rule="x", message="x", now=timezone.now())
        transaction.set_rollback(True)
    assert deliveries() == []
    assert alert(agency, rule="x", period="")


def test_no_tenant_can_raise_for_another_or_for_the_platform(agency: Tenant, stranger: Tenant) -> None:
    for tenant_id in (agency.pk, None):
        with pytest.raises(ProgrammingError, match="row-level security"), tenant_transaction(stranger):
            raise_alert(tenant_id=tenant_id, rule="x", message="x", now=timezone.now())


def test_the_platforms_alerts_are_raised_once_too() -> None:
    with system_transaction():
        assert raise_alert(tenant_id=None, rule="x", message="x", now=timezone.now())
        assert raise_alert(tenant_id=None, rule="x", message="x", now=timezone.now()) is None


def test_a_tenants_targets_hear_of_its_alerts_alone(agency: Tenant, stranger: Tenant) -> None:
    target(agency, Channel.EMAIL, ADA)
    target(stranger, Channel.EMAIL, EVE)
    target(None, Channel.EMAIL, "sre@huntaze.example")
    alert(agency)
    assert told() == [ADA]


def test_a_target_hears_from_its_level_on_and_not_of_rules_that_it_mutes(agency: Tenant) -> None:
    target(agency, Channel.EMAIL, "all@x.example", name="all", minimum_level="info")
    target(agency, Channel.EMAIL, "fire@x.example", name="fire", minimum_level="critical")
    target(agency, Channel.EMAIL, "some@x.example", name="some", muted_rules=["daily_cost"])
    assert told(alert=raised(agency, level="info", rule="other")) == ["all@x.example"]
    assert sorted(told(alert=raised(agency, level="critical", rule="other"))) == [
        *("all@x.example", "fire@x.example", "some@x.example")
    ]
    assert told(alert=raised(agency, level="warning")) == ["all@x.example"]


def test_one_address_under_two_names_gets_one_mail(agency: Tenant) -> None:
    target(agency, Channel.EMAIL, ADA, name="a")
    target(agency, Channel.EMAIL, ADA, name="b")
    alert(agency)
    assert told() == [ADA]


def test_without_targets_of_a_channel_the_environment_says_who_hears(agency: Tenant, settings: Any) -> None:
    settings.COST_ALERT_EMAIL = ["ops@huntaze.example"]
    settings.SLACK_WEBHOOK_URL = "https://hooks.slack.com/services/hush"
    assert told(alert=raised(agency, rule="a")) == ["ops@huntaze.example", "SLACK_WEBHOOK_URL"]
    assert told(alert=raised(agency, rule="b", level="info")) == []
    target(agency, Channel.EMAIL, ADA, is_active=False)
    assert told(alert=raised(agency, rule="c")) == ["SLACK_WEBHOOK_URL"]


def test_without_targets_or_an_environments_address_its_owners_get_the_mail(
    agency: Tenant, stranger: Tenant, mail: MailServer, settings: Any
) -> None:
    mine = [
        factories.user(tenant=agency, role=role, email=email).email
        for role, email in (
            (Role.OWNER, ADA),
            (Role.OWNER, "bo@agency.example"),
            (Role.MANAGER, "cy@x.example"),
        )
    ]
    factories.user(tenant=agency, role=Role.OWNER, email="gone@agency.example", is_active=False)
    factories.user(tenant=stranger, role=Role.OWNER, email=EVE)
    with tenant_transaction(agency):
        raise_alert(tenant_id=agency.pk, rule="a", message="x", now=timezone.now())
    assert told() == mine[:2]
    assert alert(agency, rule="a", period="") is None
    send()
    assert sorted(each["To"] for each in mail.mails) == mine[:2]
    assert told(alert=raised(agency, rule="b", level="info")) == []
    settings.COST_ALERT_EMAIL = ["ops@huntaze.example"]
    assert told(alert=raised(agency, rule="c")) == ["ops@huntaze.example"]
    target(agency, Channel.EMAIL, "elsewhere@x.example")
    assert told(alert=raised(agency, rule="d")) == ["elsewhere@x.example"]


def test_one_who_is_an_owner_no_more_gets_nothing(agency: Tenant, mail: MailServer) -> None:
    ada = factories.user(tenant=agency, role=Role.OWNER, email=ADA)
    alert(agency)
    with system_transaction():
        ada.memberships.update(role=Role.ANALYST)
    send()
    assert (delivery().error, mail.mails) == ("The target was removed.", [])


def test_the_platforms_alerts_have_no_owners_to_go_to(agency: Tenant) -> None:
    factories.user(tenant=agency, role=Role.OWNER, email=ADA)
    with system_transaction():
        raise_alert(tenant_id=None, rule="x", message="x", now=timezone.now())
    assert told() == []


def test_a_default_that_the_environment_no_longer_names_gets_nothing(agency: Tenant, settings: Any) -> None:
    settings.COST_ALERT_EMAIL = ["ops@huntaze.example"]
    alert(agency)
    settings.COST_ALERT_EMAIL = []
    send()
    assert delivery().error == "The target was removed."


def test_muting_holds_back_its_rule_and_subject_until_its_end(agency: Tenant, mail: MailServer) -> None:
    target(agency, Channel.EMAIL, ADA)
    now = timezone.now()
    first = raised(agency, subject="a")
    with tenant_transaction(agency):
        assert alerts.mute_alert(alert=first, until=now + timedelta(hours=1), now=now) == 1
    alert(agency, subject="a", period="2026-03-02")
    raised(agency, subject="b")
    alert(agency, subject="a", rule="other")

    send()

    assert {each["To"] for each in mail.mails} == {ADA}
    states = {(each.alert.rule, each.alert.subject, each.alert.period): each.state for each in deliveries()}
    assert states == {
        ("daily_cost", "a", "2026-03-01"): DeliveryState.MUTED,
        ("daily_cost", "a", "2026-03-02"): DeliveryState.MUTED,
        ("daily_cost", "b", "2026-03-01"): DeliveryState.SENT,
        ("other", "a", "2026-03-01"): DeliveryState.SENT,
    }
    assert deliveries(alert=first)[0].error == "Its rule and subject were muted."
    later = now + timedelta(hours=1)
    again = raised(agency, subject="a", period="2026-03-03", now=later)
    assert deliveries(alert=again)[0].state == DeliveryState.PENDING


def test_muting_again_sets_another_end_and_unmuting_ends_it(agency: Tenant) -> None:
    now = timezone.now()
    first, second = raised(agency), raised(agency, period="2026-03-02")
    with tenant_transaction(agency):
        alerts.mute_alert(alert=first, until=now + timedelta(days=9), now=now)
        alerts.mute_alert(alert=second, until=now + timedelta(hours=1), now=now)
        assert list(Alert.objects.exclude(muted_until=None)) == [second]
        alerts.unmute_alert(alert=first)
        assert not Alert.objects.exclude(muted_until=None).exists()
        with pytest.raises(InvalidInputError):
            alerts.mute_alert(alert=first, until=now, now=now)


def test_another_tenants_mute_is_no_matter(agency: Tenant, stranger: Tenant) -> None:
    target(agency, Channel.EMAIL, ADA)
    now = timezone.now()
    eves = raised(stranger)
    with tenant_transaction(stranger):
        alerts.mute_alert(alert=eves, until=now + timedelta(hours=1), now=now)
    alert(agency)
    assert delivery(tenant_id=agency.pk).state == DeliveryState.PENDING


def test_a_mute_of_the_platforms_alert_holds_for_its_own_alone(agency: Tenant) -> None:
    now = timezone.now()
    raised(agency, rule="x", period="")
    with system_transaction():
        first = raise_alert(tenant_id=None, rule="x", message="x", now=now)
        assert first
        alerts.mute_alert(alert=first, until=now + timedelta(hours=1), now=now)
        raise_alert(tenant_id=None, rule="x", message="x", period="later", now=now)
        found: list[Any] = list(Alert.objects.with_mute(now=now).order_by("id"))
        ends = [each.mute_ends_at for each in found]
        assert ends == [None, first.muted_until, first.muted_until]


def test_an_alert_is_acknowledged_once(agency: Tenant) -> None:
    first, now = raised(agency), timezone.now()
    with tenant_transaction(agency):
        alerts.acknowledge_alert(alert=first, by="Ada", now=now)
        with pytest.raises(ConflictError):
            alerts.acknowledge_alert(alert=first, by="Eve", now=now)
        first.refresh_from_db()
    assert (first.acknowledged_by, first.acknowledged_at) == ("Ada", now)


def test_an_alert_that_nobody_was_there_for_can_be_sent_later(agency: Tenant, mail: MailServer) -> None:
    first = raised(agency)
    with system_transaction(), pytest.raises(ConflictError):
        service.send_alert_again(alert=first, now=timezone.now())
    target(agency, Channel.EMAIL, ADA)
    with system_transaction():
        assert service.send_alert_again(alert=first, now=timezone.now()) == 1
    send()
    assert len(mail.mails) == 1


def test_a_test_goes_to_its_target_alone_and_needs_nobody(agency: Tenant, mail: MailServer) -> None:
    mine = target(agency, Channel.EMAIL, ADA, minimum_level="critical", muted_rules=["test"])
    target(agency, Channel.EMAIL, "other@x.example", name="other", minimum_level="info")
    with system_transaction():
        made = targets.test_target(target=mine, now=timezone.now())
    send()
    assert [message["To"] for message in mail.mails] == [ADA]
    assert made.acknowledged_at


def test_a_target_of_another_tenant_cannot_be_seen(agency: Tenant, stranger: Tenant) -> None:
    target(agency, Channel.EMAIL, ADA)
    target(None, Channel.EMAIL, "sre@huntaze.example")
    with tenant_transaction(stranger):
        assert not NotificationTarget.objects.exists()
