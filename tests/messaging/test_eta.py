"""When an outbox will have been sent, with all that stands in its way."""

from datetime import UTC, datetime, time, timedelta

import pytest
from django.utils import timezone

from apps.common.ids import uuid7
from apps.common.priority import Priority
from apps.messaging.models import Account, Outbox, PlatformState
from apps.messaging.services import eta, outboxes
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.messaging import dispatching as d

pytestmark = pytest.mark.django_db(transaction=True)

WINDOW = timedelta(seconds=60.25)


@pytest.fixture(autouse=True)
def nothing_is_dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is at the moment, estimates are made afresh."""
    monkeypatch.setattr(eta, "_DEAR", timedelta(hours=1))


def end_of(outbox: Outbox, *, now: datetime) -> datetime | None:
    fresh = d.fresh(outbox)
    with tenant_transaction(outbox.tenant_id):
        return eta.estimates(outboxes=[fresh], now=now).get(outbox.pk)


def limit(tenant: Tenant, layer: str, count: int, **fields: object) -> None:
    factories.send_limit(layer=layer, count=count, seconds=60, **fields)


def test_the_estimate_is_the_slowest_accounts_windows(agency: Tenant, account: Account) -> None:
    now = timezone.now()
    slow = factories.account(tenant=agency, limit_count=2, limit_seconds=60)
    outbox = d.enqueue(account, 10, now=now)
    d.enqueue(slow, 5, outbox=outbox, now=now)

    assert end_of(outbox, now=now) == now + 2 * WINDOW


def test_an_estimate_beyond_all_calendars_is_their_end(account: Account) -> None:
    now = datetime(9999, 12, 31, 23, 59, 30, tzinfo=UTC)
    outbox = d.enqueue(account, 11, now=now)

    assert end_of(outbox, now=now) == datetime.max.replace(tzinfo=UTC)


def test_what_another_outbox_queued_before_comes_first(agency: Tenant, account: Account) -> None:
    now = timezone.now()
    earlier = d.enqueue(account, 20, now=now - timedelta(minutes=1))
    later = d.enqueue(account, 10, now=now)

    assert end_of(earlier, now=now) == now + WINDOW
    assert end_of(later, now=now) == now + 2 * WINDOW


def test_what_is_more_urgent_comes_first_and_what_is_paused_not_at_all(
    agency: Tenant, account: Account
) -> None:
    now = timezone.now()
    early = d.enqueue(account, 20, now=now - timedelta(minutes=1))
    urgent = d.enqueue(account, 20, outbox=d.outbox_of(agency, priority=Priority.HIGH), now=now)

    assert end_of(urgent, now=now) == now + WINDOW
    assert end_of(early, now=now) == now + 3 * WINDOW
    with tenant_transaction(agency):
        outboxes.pause(outbox=urgent, now=now)
    assert end_of(early, now=now) == now + WINDOW
    assert end_of(urgent, now=now) is None


def test_single_messages_of_the_account_are_in_its_way(account: Account) -> None:
    now = timezone.now()
    for fan in factories.fans(10, account=account):
        factories.message(fan=fan, now=now - timedelta(minutes=1))
    outbox = d.enqueue(account, 10, now=now)

    assert end_of(outbox, now=now) == now + WINDOW


def test_a_block_and_quiet_hours_put_the_end_off(account: Account) -> None:
    now = datetime(2026, 3, 2, 21, 59, tzinfo=UTC)
    outbox = d.enqueue(account, 11, now=now)
    d.change(account, next_due=now + timedelta(seconds=30), blocked_until=now + timedelta(seconds=30))
    assert end_of(outbox, now=now) == now + timedelta(seconds=30) + WINDOW

    d.change(account, quiet_start=time(22), quiet_end=time(8))
    assert end_of(outbox, now=now) == datetime(2026, 3, 3, 8, 0, 30, 250_000, tzinfo=UTC)


def test_nobody_knows_the_end_where_some_messages_wait_for_a_resume(agency: Tenant, account: Account) -> None:
    now = timezone.now()
    outbox = d.enqueue(account, now=now)
    other = factories.account(tenant=agency)
    d.enqueue(other, outbox=outbox, now=now)

    d.change(other, paused_at=now)
    assert end_of(outbox, now=now) is None
    d.change(other, paused_at=None)
    assert end_of(outbox, now=now) == now

    with system_transaction():
        PlatformState.objects.update_or_create(platform="onlyfans", defaults={"paused_at": now})
    assert end_of(outbox, now=now) is None
    with system_transaction():
        PlatformState.objects.update(paused_at=None)
        Tenant.objects.filter(pk=agency.pk).update(paused_at=now)
    assert end_of(outbox, now=now) is None


def test_a_limit_of_the_tenant_is_shared_with_its_other_accounts(agency: Tenant, account: Account) -> None:
    now = timezone.now()
    outbox = d.enqueue(account, 5, now=now)
    big = d.enqueue(factories.account(tenant=agency, limit_count=1000, limit_seconds=60), 50, now=now)
    limit(agency, "tenant", 10, subject_id=agency.pk)

    # In five turns each of the two accounts sends five.
    assert end_of(outbox, now=now) == now
    assert end_of(big, now=now) == now + 5 * WINDOW


def test_a_limit_of_everything_holds_for_strangers_messages_too(stranger: Tenant, account: Account) -> None:
    now = timezone.now()
    limit(stranger, "global", 10)
    outbox = d.enqueue(account, 10, now=now)
    assert end_of(outbox, now=now) == now
    d.enqueue(factories.account(tenant=stranger), 10, now=now)
    assert end_of(outbox, now=now) == now + WINDOW


def test_a_limit_of_the_user_is_shared_by_what_that_user_queued(agency: Tenant, account: Account) -> None:
    now = timezone.now()
    person = factories.user(tenant=agency)
    limit(agency, "user", 10, subject_id=person.pk)
    mine = d.enqueue(account, 5, outbox=factories.outbox(tenant=agency, user_id=person.pk), now=now)
    d.enqueue(
        factories.account(tenant=agency),
        10,
        outbox=factories.outbox(tenant=agency, user_id=person.pk),
        now=now,
    )
    others = d.enqueue(factories.account(tenant=agency), 5, now=now)

    assert end_of(mine, now=now) == now + WINDOW
    assert end_of(others, now=now) == now


def test_an_accounts_end_keeps_the_limits_of_those_who_queued(agency: Tenant, account: Account) -> None:
    now, (anna, ben) = timezone.now(), (uuid7(), uuid7())
    other = factories.account(tenant=agency)
    limit(agency, "user", 2, subject_id=anna)
    d.enqueue(account, 3, outbox=factories.outbox(tenant=agency, user_id=anna), now=now)
    d.enqueue(account, 1, outbox=factories.outbox(tenant=agency, user_id=ben), now=now)
    d.enqueue(other, 2, outbox=factories.outbox(tenant=agency, user_id=anna), now=now)
    third = factories.account(tenant=agency)
    d.enqueue(third, 2, outbox=factories.outbox(tenant=agency, user_id=ben), now=now)

    ends = eta.of_accounts([account, other, third], now=now)

    assert ends[account.pk].ends_at == now + 2 * WINDOW, "Anna's fifth message goes in her third window"
    assert ends[other.pk].ends_at == now + 2 * WINDOW
    assert ends[third.pk].ends_at == now


def test_estimates_cost_the_same_statements_for_any_number(
    agency: Tenant, account: Account, django_assert_num_queries: object
) -> None:
    now = timezone.now()
    boxes = [d.enqueue(account, now=now) for _ in range(5)]
    for _ in range(3):
        d.enqueue(factories.account(tenant=agency), outbox=boxes[0], now=now)
    boxes = [d.fresh(box) for box in boxes]
    # The doors take seven, one of them inside the other; the estimates six.
    with django_assert_num_queries(7 + 6), tenant_transaction(agency):  # type: ignore[operator]
        assert len(eta.estimates(outboxes=boxes, now=now)) == 5


def test_an_estimate_that_was_dear_is_kept_for_a_while(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    monkeypatch.setattr(eta, "_DEAR", timedelta())
    monkeypatch.setattr(eta, "_KEPT_PER_COST", 10**6)
    outbox = d.enqueue(account, 10, now=now)
    assert end_of(outbox, now=now) == now
    d.enqueue(account, 10, outbox=outbox, now=now)

    assert end_of(outbox, now=now + timedelta(seconds=59)) == now
    assert end_of(outbox, now=now + timedelta(seconds=60)) == now + timedelta(seconds=60) + WINDOW


def test_an_account_says_what_it_has_queued_and_until_when(agency: Tenant, account: Account) -> None:
    now = timezone.now()
    idle = factories.account(tenant=agency)
    paused = factories.account(tenant=agency, paused_at=now)
    d.enqueue(account, 15, now=now)
    d.enqueue(paused, 3, now=now)

    with tenant_transaction(agency):
        found = eta.of_accounts([d.fresh(account), idle, paused], now=now)

    assert found == {
        account.pk: eta.Queue(15, now + WINDOW),
        idle.pk: eta.Queue(0, None),
        paused.pk: eta.Queue(3, None),
    }
