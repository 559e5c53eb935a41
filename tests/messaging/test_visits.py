"""When a fan, or an account, may be written to: quiet hours by two clocks, gaps, caps, `not_before`."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from apps.messaging.gateways.base import Result, Sent, Throttled, Unknown
from apps.messaging.limiter.rules import to_stamp
from apps.messaging.models import Account, Fan, QuietZone
from apps.messaging.services import epoch, outcomes, send
from apps.messaging.services.send import Clock
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.messaging import dispatching as d
from tests.messaging.test_outcomes import result

pytestmark = pytest.mark.django_db(transaction=True)

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
A_MOMENT = timedelta(microseconds=1)
LATEST = 15 * SECOND
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)

# From 23:00 to 07:00 on the wall: a usual night, then some that a change of the clock made shorter or longer.
NIGHTS = [
    ("Europe/Paris", "2026-01-10 22:00", "2026-01-11 06:00"),
    ("Europe/Paris", "2026-03-28 22:00", "2026-03-29 05:00"),
    ("Europe/Paris", "2026-10-24 21:00", "2026-10-25 06:00"),
    ("America/New_York", "2026-03-08 04:00", "2026-03-08 11:00"),
    ("America/New_York", "2026-11-01 03:00", "2026-11-01 12:00"),
    ("Australia/Lord_Howe", "2026-10-03 12:30", "2026-10-03 20:00"),
    ("Australia/Lord_Howe", "2026-04-04 12:00", "2026-04-04 20:30"),
    ("Asia/Kathmandu", "2026-03-29 17:15", "2026-03-30 01:15"),
]


@pytest.fixture(autouse=True)
def platform(settings: Any) -> None:
    """Somewhere to send to; nothing is."""
    settings.ONLYFANS_API_URL = "http://platform.invalid"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def sleeps(account: Account, **fields: Any) -> Account:
    d.change(account, quiet_start=time(23), quiet_end=time(7), **fields)
    return account


@pytest.mark.parametrize(("zone", "start", "end"), NIGHTS)
def test_an_account_is_quiet_from_minute_to_minute(account: Account, zone: str, start: str, end: str) -> None:
    begins, ends = utc(start), utc(end)
    sleeps(account, time_zone=zone)
    d.enqueue(account, 1, now=begins - A_MOMENT)
    assert len(d.grant(begins - A_MOMENT)) == 1

    d.enqueue(account, 2, now=begins)
    assert d.grant(begins) == []
    assert d.fresh(account).next_due == d.fresh(account).blocked_until == ends
    assert d.grant(ends - A_MOMENT) == []
    assert len(d.grant(ends)) == 2


@pytest.mark.parametrize(("zone", "start", "end"), NIGHTS)
def test_a_fan_is_left_in_peace_by_the_fans_own_clock(
    account: Account, zone: str, start: str, end: str
) -> None:
    begins, ends = utc(start), utc(end)
    # The account's own day is another one.
    elsewhere = {"America/New_York": "Asia/Tokyo", "Australia/Lord_Howe": "Europe/Paris"}.get(
        zone, "Pacific/Honolulu"
    )
    sleeps(account, time_zone=elsewhere, quiet_zone=QuietZone.FAN)
    asleep = factories.fan(account=account, time_zone=zone)
    unknown = factories.fan(account=account)
    earlier = d.enqueue(account, fans=[asleep], now=begins - A_MOMENT)
    d.grant(begins - A_MOMENT)
    assert d.counts(earlier) == {"sending": 1}

    later = d.enqueue(account, fans=[asleep], now=begins)
    other = d.enqueue(account, fans=[unknown], now=begins)
    d.grant(begins)

    assert d.counts(later) == {"queued": 1}
    assert d.counts(other) == {"sending": 1}, "one who sleeps doesn't hold up the others"
    assert d.row(outbox=later).not_before == ends == d.fresh(account).next_due
    assert d.grant(ends - A_MOMENT) == []
    assert len(d.grant(ends)) == 1


def test_a_fan_whose_zone_is_not_known_goes_by_the_accounts(account: Account) -> None:
    begins = utc("2026-01-10 22:00")
    sleeps(account, time_zone="Europe/Paris", quiet_zone=QuietZone.FAN)
    outbox = d.enqueue(account, now=begins)
    assert d.grant(begins) == []
    assert d.row(outbox=outbox).not_before == utc("2026-01-11 06:00")


@pytest.mark.parametrize("quiet_zone", QuietZone)
def test_quiet_hours_that_begin_after_the_grant_stop_the_request(
    account: Account, quiet_zone: QuietZone
) -> None:
    begins = utc("2026-03-28 22:00")
    sleeps(account, time_zone="Europe/Paris", quiet_zone=quiet_zone)
    outbox = d.enqueue(account, now=begins - SECOND)
    granted = d.grant(begins - SECOND)

    batch = send.start(message_ids=granted, clock=Clock.at(begins), platforms=["onlyfans"])
    send.hand_back(batch, Clock.at(begins))

    assert batch.requests == []
    assert d.counts(outbox) == {"queued": 1}
    assert d.row(outbox=outbox).slots == []


def wrote(account: Account, fan: Fan, *, now: datetime) -> datetime:
    """A campaign writes to the fan; the platform has it a second later. Returns when."""
    outbox = d.enqueue(account, fans=[fan], now=now)
    assert d.grant(now) == [d.row(outbox=outbox).pk]
    d.change(d.row(outbox=outbox), started_at=now)
    ended = result(d.row(outbox=outbox), Sent(platform_id="1"))
    record_at(ended, now + SECOND)
    return now + SECOND


def record_at(ended: Result, when: datetime) -> None:
    with system_transaction():
        in_force = epoch.current()
    outcomes.record(results=[replace(ended, ended_at=when)], epoch=in_force, now=when, at=to_stamp(when))


def test_campaigns_keep_a_gap_between_what_they_write_to_a_fan(account: Account) -> None:
    d.change(account, fan_gap_seconds=3600)
    fan, other = factories.fans(2, account=account)
    written = wrote(account, fan, now=NOON)

    second = d.enqueue(account, fans=[fan, other], now=NOON + SECOND)
    d.grant(NOON + SECOND)

    assert d.counts(second) == {"queued": 1, "sending": 1}, "another fan has another gap"
    assert d.row(outbox=second, fan=fan).not_before == written + HOUR == d.fresh(account).next_due
    assert d.grant(written + HOUR - A_MOMENT) == []
    assert len(d.grant(written + HOUR)) == 1


def test_a_gap_counts_from_the_latest_arrival_of_what_is_under_way(account: Account) -> None:
    d.change(account, fan_gap_seconds=60)
    fan = factories.fan(account=account)
    d.enqueue(account, fans=[fan], now=NOON)
    d.grant(NOON)
    second = d.enqueue(account, fans=[fan], now=NOON)
    d.grant(NOON)
    assert d.row(outbox=second).not_before == NOON + LATEST + 60 * SECOND


def test_of_two_campaigns_at_one_visit_one_writes(account: Account) -> None:
    d.change(account, fan_gap_seconds=60)
    fan = factories.fan(account=account)
    first, second = (d.enqueue(account, fans=[fan], now=NOON) for _ in range(2))
    assert len(d.grant(NOON)) == 1
    assert d.counts(first) == {"sending": 1}
    assert d.counts(second) == {"queued": 1}
    assert d.fresh(account).next_due == NOON, "the other one is looked at again"


def test_campaigns_write_to_a_fan_no_more_than_so_often(account: Account) -> None:
    d.change(account, fan_cap_count=2, fan_cap_seconds=86_400)
    fan = factories.fan(account=account)
    first = wrote(account, fan, now=NOON)
    wrote(account, fan, now=NOON + HOUR)

    third = d.enqueue(account, fans=[fan], now=NOON + 2 * HOUR)
    assert d.grant(NOON + 2 * HOUR) == []
    opens = first + timedelta(days=1)
    assert d.row(outbox=third).not_before == opens
    assert d.grant(opens - A_MOMENT) == []
    assert len(d.grant(opens)) == 1


def test_what_is_written_by_hand_is_neither_capped_nor_counted(account: Account) -> None:
    d.change(account, fan_gap_seconds=3600)
    fan = factories.fan(account=account)
    wrote(account, fan, now=NOON)
    single = factories.message(fan=fan, now=NOON + 2 * SECOND)
    d.change(account, next_due=NOON)
    assert d.grant(NOON + 2 * SECOND) == [single.pk]

    d.change(account, fan_gap_seconds=100)
    assert len(wrote_at(account, fan, NOON + 101 * SECOND)) == 1


def wrote_at(account: Account, fan: Fan, now: datetime) -> list[Any]:
    d.enqueue(account, fans=[fan], now=now)
    return d.grant(now)


def test_an_attempt_that_the_platform_refused_is_nothing_that_a_fan_has_got(account: Account) -> None:
    d.change(account, fan_gap_seconds=86_400)
    fan = factories.fan(account=account)
    outbox = d.enqueue(account, fans=[fan], now=NOON)
    d.grant(NOON)
    d.change(d.row(outbox=outbox), started_at=NOON)
    throttled = Throttled(retry_after=5 * SECOND)
    record_at(result(d.row(outbox=outbox), throttled), NOON + SECOND)
    assert d.counts(outbox) == {"queued": 1}

    again = d.fresh(account).next_due
    d.change(d.row(outbox=outbox), not_before=NOON)
    assert len(d.grant(again)) == 1, "its own earlier attempt puts it off"


def test_what_a_fan_may_have_got_counts(account: Account) -> None:
    d.change(account, fan_gap_seconds=3600)
    fan = factories.fan(account=account)
    doubted = d.enqueue(account, fans=[fan], now=NOON)
    d.grant(NOON)
    d.change(d.row(outbox=doubted), started_at=NOON)
    record_at(result(d.row(outbox=doubted), Unknown(reason="cut", error="")), NOON + SECOND)
    assert d.counts(doubted) == {"unknown": 1}
    assert wrote_at(account, fan, NOON + 2 * SECOND) == []


def test_a_gap_of_the_account_spreads_its_messages(account: Account) -> None:
    d.change(account, min_gap_ms=2000)
    outbox = d.enqueue(account, 3, now=NOON)
    (granted,) = d.grant(NOON)
    assert d.fresh(account).next_due == NOON + LATEST + 2.02 * SECOND
    assert d.grant(NOON + LATEST + 2.02 * SECOND - A_MOMENT) == []
    assert len(d.grant(NOON + LATEST + 2.02 * SECOND)) == 1
    assert d.counts(outbox) == {"queued": 1, "sending": 2}
    assert granted


@pytest.mark.parametrize("wait", [A_MOMENT, SECOND, timedelta(days=400)])
def test_nothing_goes_before_its_time(account: Account, wait: timedelta) -> None:
    later = d.enqueue(account, now=NOON + wait)
    now = d.enqueue(account, now=NOON)

    assert len(d.grant(NOON)) == 1

    assert d.counts(now) == {"sending": 1}
    assert d.counts(later) == {"queued": 1}
    assert d.fresh(account).next_due == NOON + wait
    assert d.grant(NOON + wait - A_MOMENT) == []
    assert len(d.grant(NOON + wait)) == 1


def test_an_outbox_for_later_does_not_hold_up_one_for_now(agency: Tenant, account: Account) -> None:
    """In one lane, too: messages of one outbox may have different times."""
    outbox = d.outbox_of(agency)
    d.enqueue(account, 2, outbox=outbox, now=NOON + HOUR)
    d.enqueue(account, 2, outbox=outbox, now=NOON)
    assert len(d.grant(NOON)) == 2
    assert d.fresh(account).next_due == NOON + HOUR
