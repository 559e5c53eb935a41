"""Who gets slots, in which order, and who doesn't."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, time, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.common.priority import Priority
from apps.messaging.models import Account, MessageTemplate
from apps.messaging.services import claim, due, outboxes, sweep
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.messaging import dispatching as d

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gateway")]

WINDOW = timedelta(seconds=60.25)
LATEST = timedelta(seconds=15)


def test_no_more_than_the_limit_is_granted_in_a_window(account: Account) -> None:
    now = timezone.now()
    outbox = d.enqueue(account, 12, now=now)

    assert len(d.grant(now)) == 10
    assert d.counts(outbox) == {"queued": 2, "sending": 10}
    assert d.fresh(account).next_due == now + LATEST + WINDOW
    assert d.grant(now + LATEST + WINDOW - timedelta(microseconds=1)) == []
    assert len(d.grant(now + LATEST + WINDOW)) == 2
    assert d.fresh(account).next_due is None


def test_a_higher_limit_of_all_accounts_counts_at_once(account: Account) -> None:
    d.change(account, limit_count=None, limit_seconds=None)
    limit = factories.send_limit(layer="account", platform="", count=1, seconds=60)
    d.enqueue(account, 3)
    assert len(d.grant()) == 1
    assert d.grant() == []

    with system_transaction():
        limit.count = 2
        limit.save()
    assert len(d.grant()) == 1


def test_a_shared_limit_blocks_no_longer_than_it_has_to(agency: Tenant, account: Account) -> None:
    """What is on its way when it is reached will have arrived long before the latest moment it could."""
    now = timezone.now()
    factories.send_limit(layer="tenant", subject_id=agency.pk, count=10, seconds=60)
    d.enqueue(account, 10, now=now)
    other = factories.account(tenant=agency)
    outbox = d.enqueue(other, 1, now=now)

    d.dispatch(now)
    assert d.dispatch(now) == []
    assert d.dispatch(now + WINDOW + timedelta(seconds=2)), "its slots opened two seconds ago"
    assert d.counts(outbox) == {"sent": 1}


def test_a_gap_between_a_tenants_messages_blocks_it_for_no_longer(agency: Tenant, account: Account) -> None:
    now = timezone.now()
    factories.send_limit(layer="tenant", subject_id=agency.pk, count=1000, seconds=60, min_gap_ms=500)
    d.enqueue(account, 3, now=now)
    later = [len(d.dispatch(now + timedelta(seconds=seconds))) for seconds in (0, 2, 4)]
    assert later == [1, 1, 1]


def test_a_grant_has_a_lease_a_deadline_and_a_slot(account: Account) -> None:
    now = timezone.now()
    d.enqueue(account, now=now)

    (message_id,) = d.grant(now)

    message = d.row(pk=message_id)
    assert (message.state, message.attempt, message.started_at) == ("sending", 1, None)
    assert message.send_by == now + timedelta(seconds=5)
    assert message.lease_expires_at == now + timedelta(seconds=30)
    assert message.slots == [now + LATEST] == [message.newest_slot]


def test_a_paused_account_sends_nothing(account: Account) -> None:
    d.enqueue(account)
    d.change(account, paused_at=timezone.now())
    assert d.grant() == []


def test_a_paused_tenants_accounts_send_nothing(agency: Tenant, account: Account) -> None:
    d.enqueue(account)
    d.change(agency, paused_at=timezone.now())
    assert d.grant() == []


@pytest.mark.parametrize("column", ["paused_at", "cancelled_at"])
def test_a_stopped_outbox_is_passed_over_whole(account: Account, column: str) -> None:
    now = timezone.now()
    stopped = d.enqueue(account, 12, now=now)
    d.change(stopped, **{column: now})
    other = d.enqueue(account, 1, now=now)

    assert len(d.grant(now)) == 1
    assert d.counts(other) == {"sending": 1}
    assert d.counts(stopped) == {"queued": 12}
    assert d.fresh(account).next_due is None


def test_an_account_of_a_platform_without_a_gateway_waits(account: Account, settings: Any) -> None:
    d.enqueue(account)
    settings.ONLYFANS_API_URL = ""
    assert d.grant() == []
    assert d.fresh(account).next_due is not None


def test_what_is_for_later_waits_until_then(account: Account) -> None:
    now = timezone.now()
    d.enqueue(account, now=now + timedelta(minutes=3))
    d.change(account, next_due=now)

    assert d.grant(now) == []
    assert d.fresh(account).next_due == now + timedelta(minutes=3)


def test_the_higher_priority_goes_first(agency: Tenant, account: Account) -> None:
    now = timezone.now()
    d.change(account, limit_count=1)
    d.enqueue(account, outbox=d.outbox_of(agency, priority=Priority.MEDIUM), now=now)
    high = d.enqueue(account, outbox=d.outbox_of(agency, priority=Priority.HIGH), now=now)

    d.grant(now)

    assert d.counts(high) == {"sending": 1}


def test_a_message_ages_by_a_level_in_ten_minutes(agency: Tenant, account: Account) -> None:
    now = timezone.now()
    d.change(account, limit_count=1)
    old = d.enqueue(
        account, outbox=d.outbox_of(agency, priority=Priority.LOW), now=now - timedelta(minutes=20)
    )
    d.enqueue(account, outbox=d.outbox_of(agency, priority=Priority.HIGH), now=now)

    d.grant(now)

    assert d.counts(old) == {"sending": 1}


def test_an_almost_aged_message_waits_for_the_more_important(agency: Tenant, account: Account) -> None:
    now = timezone.now()
    d.change(account, limit_count=1)
    d.enqueue(account, outbox=d.outbox_of(agency, priority=Priority.LOW), now=now - timedelta(minutes=19.9))
    high = d.enqueue(account, outbox=d.outbox_of(agency, priority=Priority.HIGH), now=now)

    d.grant(now)

    assert d.counts(high) == {"sending": 1}


def test_a_recipients_limit_lets_the_next_message_go(agency: Tenant, account: Account, settings: Any) -> None:
    settings.SEND_LIMIT_COUNT = 1
    now = timezone.now()
    busy, other = factories.fans(2, account=account)
    first = d.enqueue(account, fans=[busy], now=now)
    second = d.enqueue(account, fans=[busy], now=now)
    third = d.enqueue(account, fans=[other], now=now)

    assert len(d.grant(now)) == 2

    assert d.counts(first) == {"sending": 1}
    assert d.counts(third) == {"sending": 1}
    refused = d.row(outbox=second)
    assert (refused.state, refused.not_before) == ("queued", now + LATEST + WINDOW)
    assert d.fresh(account).next_due == refused.not_before


def test_a_fan_who_opted_out_gets_nothing(account: Account) -> None:
    fan = factories.fan(account=account)
    outbox = d.enqueue(account, fans=[fan])
    d.change(fan, consent=False)

    assert d.grant() == []

    assert d.counts(outbox) == {"cancelled": 1}
    assert d.row(outbox=outbox).reason == "suppressed"
    assert d.row(outbox=outbox).slots == []


def template_outbox(account: Account, body: str, fans: list[Any], now: datetime) -> Any:
    outbox = d.outbox_of(Tenant(pk=account.tenant_id))
    with system_transaction():
        outboxes.enqueue_template(
            outbox=outbox,
            account_id=account.pk,
            body=body,
            fans=type(fans[0]).objects.filter(pk__in=[fan.pk for fan in fans]),
            price=None,
            not_before=now,
            after=None,
            now=now,
        )
    return outbox


def test_a_text_is_rendered_at_the_first_claim_and_stays(account: Account) -> None:
    now = timezone.now()
    fan = factories.fan(account=account, name="Zoë")
    outbox = template_outbox(account, "Hi {{ fan.name }} 💋", [fan], now)
    d.grant(now)
    with system_transaction():
        MessageTemplate.objects.update(body="something else")
    d.change(fan, name="Someone else")
    later = now + timedelta(seconds=7)
    sweep.return_unstarted(now=later)

    d.grant(later)

    assert d.row(outbox=outbox).attempt == 2
    assert d.row(outbox=outbox).text == "Hi Zoë 💋"


def test_a_text_that_cannot_be_rendered_is_that_one_messages_end(account: Account) -> None:
    now = timezone.now()
    lucky, unlucky = (
        factories.fan(account=account, attributes={"city": "Rome"}),
        factories.fan(account=account),
    )
    outbox = template_outbox(account, "{{ fan.attributes.city }}", [lucky, unlucky], now)

    assert d.grant(now) == [d.row(outbox=outbox, fan=lucky).pk]

    assert d.counts(outbox) == {"sending": 1, "dead": 1}
    dead = d.row(outbox=outbox, fan=unlucky)
    assert dead.reason == "render_error"
    assert "fan.attributes.city" in dead.error
    assert dead.slots == []


def test_quiet_hours_block_the_account_until_their_end(account: Account) -> None:
    now = timezone.now().replace(hour=23, minute=30)
    ends = (now + timedelta(hours=7, minutes=30)).replace(minute=0, second=0, microsecond=0)
    d.change(account, quiet_start=time(23), quiet_end=time(7), time_zone="UTC")
    d.enqueue(account, now=now)

    assert d.grant(now) == []
    assert d.fresh(account).blocked_until == d.fresh(account).next_due == ends
    assert len(d.grant(ends)) == 1


def test_a_visit_takes_ten_messages_at_most_and_comes_back(account: Account) -> None:
    now = timezone.now()
    d.change(account, limit_count=100)
    d.enqueue(account, 12, now=now)

    first = claim.claim_messages(now=now)

    assert (len(first.message_ids), first.more) == (10, True)
    assert len(d.grant(now)) == 2


def test_tenants_take_turns(agency: Tenant, stranger: Tenant) -> None:
    now = timezone.now()
    for tenant, number in ((agency, 6), (stranger, 2)):
        for _ in range(number):
            d.enqueue(factories.account(tenant=tenant), now=now - timedelta(seconds=tenant is agency))

    found = claim.claim_messages(now=now, most=4)

    assert (found.more, found.curtailed) == (True, False)
    granted = Counter(message.tenant_id for message in d.rows(pk__in=found.message_ids))
    assert granted == {agency.pk: 2, stranger.pk: 2}


# Each has had two turns of the four, but of what is due there may be more.
@pytest.mark.parametrize(("theirs", "even"), [(0, False), (1, False), (2, True), (3, True), (9, False)])
def test_a_claim_is_even_if_nobody_had_less_than_the_others(
    agency: Tenant, stranger: Tenant, theirs: int, even: bool
) -> None:
    now = timezone.now()
    for tenant, number in ((agency, 4), (stranger, theirs)):
        for _ in range(number):
            d.enqueue(factories.account(tenant=tenant), now=now)
    assert claim.claim_messages(now=now, most=4).even is even


def _with_something_due(tenant: Tenant, number: int, *, now: datetime) -> list[Account]:
    accounts = [factories.account(tenant=tenant) for _ in range(number)]
    for account in accounts:
        d.enqueue(account, now=now)
    return accounts


@pytest.mark.parametrize("of_backlog", [0, 1, 3])
def test_a_claim_takes_so_much_of_a_backlog_and_all_that_others_have(
    agency: Tenant, stranger: Tenant, of_backlog: int
) -> None:
    now = timezone.now()
    _with_something_due(agency, due.FEW + 5, now=now - timedelta(seconds=1))
    _with_something_due(stranger, due.FEW, now=now)

    found = claim.claim_messages(now=now, of_backlog=of_backlog)

    granted = Counter(message.tenant_id for message in d.rows(pk__in=found.message_ids))
    assert granted == Counter({agency.pk: of_backlog, stranger.pk: due.FEW})
    assert (found.more, found.curtailed, found.shared) == (True, True, True)


def test_what_is_in_other_hands_costs_a_backlog_no_turn(agency: Tenant) -> None:
    now = timezone.now()
    first, *_ = _with_something_due(agency, due.FEW + 5, now=now)
    d.change(first, next_due=now - timedelta(seconds=1))

    def run() -> list[Any]:
        granted = claim.claim_messages(now=now, of_backlog=1).message_ids
        connection.close()
        return list(granted)

    with system_transaction():
        due.lock([first.pk])
        with ThreadPoolExecutor(1) as pool:
            granted = pool.submit(run).result()
    assert len(granted) == 1


def test_claims_that_leave_nothing_of_a_backlog_know_it(agency: Tenant) -> None:
    now = timezone.now()
    _with_something_due(agency, due.FEW + 1, now=now)
    found = claim.claim_messages(now=now, of_backlog=due.FEW + 1)
    assert len(found.message_ids) == due.FEW + 1
    assert (found.more, found.curtailed, found.shared) == (False, False, False)


def test_claims_stop_above_the_bound_of_outstanding_leases(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claim, "LEASES_A_WORKER", 10)
    d.change(account, limit_count=100)
    d.enqueue(account, 20)
    assert len(d.grant()) == 10
    assert d.grant() == []


def test_claimers_side_by_side_never_exceed_a_limit(agency: Tenant) -> None:
    now = timezone.now()
    accounts = [factories.account(tenant=agency, limit_count=3) for _ in range(5)]
    outbox = d.outbox_of(agency)
    for account in accounts:
        d.enqueue(account, 20, outbox=outbox, now=now)
    together = Barrier(4)

    def run() -> list[Any]:
        together.wait()
        granted = [message_id for _ in range(6) for message_id in d.grant(timezone.now())]
        connection.close()
        return granted

    with ThreadPoolExecutor(4) as pool:
        granted = [each for run_ in [pool.submit(run) for _ in range(4)] for each in run_.result()]

    assert len(granted) == len(set(granted)) == 15
    by_account = Counter(message.account_id for message in d.rows(pk__in=granted))
    assert set(by_account.values()) == {3}
    assert d.counts(outbox) == {"queued": 85, "sending": 15}


def test_what_is_enqueued_while_a_claim_looks_elsewhere_is_found_by_the_next(account: Account) -> None:
    now = timezone.now()
    d.change(account, next_due=now)

    def run() -> list[Any]:
        granted = d.grant(now)
        connection.close()
        return granted

    with system_transaction():
        outbox = d.outbox_of(Tenant(pk=account.tenant_id))
        d.enqueue(account, outbox=outbox, now=now)
        # Another process claims before this commits: the account is ours, so it must not conclude anything.
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(run).result() == []
    assert len(d.grant(now)) == 1


def test_one_turn_each_tells_nothing_of_a_backlog(agency: Tenant, stranger: Tenant) -> None:
    now = timezone.now()
    for tenant in (agency, stranger):
        d.enqueue(factories.account(tenant=tenant), now=now)
    found = claim.claim_messages(now=now, most=2)
    assert (found.more, found.even) == (True, False)
