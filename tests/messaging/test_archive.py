"""The archive: what has ended moves there, once, and can still be read."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from django.db import ProgrammingError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from apps.common.ids import first_id_of, uuid7
from apps.messaging.models import Account, Message, MessageRecord, Outbox
from apps.messaging.services import archive, outboxes
from apps.messaging.services.archive import archive_messages
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.conftest import as_json
from tests.killing import killed_before
from tests.messaging import dispatching as d

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


def closed(account: Account, number: int = 3, *, at: datetime, **fields: Any) -> Outbox:
    """A closed outbox whose messages were sent."""
    outbox = d.enqueue(account, number, now=at)
    with system_transaction():
        sent = {"state": "sent", "sent_at": at, "finished_at": at, "slots": [at], **fields}
        Message.objects.filter(outbox=outbox).update(**sent)
        Outbox.objects.filter(pk=outbox.pk).update(queued=0, sent=number, closed_at=at)
    return outbox


def live(**filters: Any) -> int:
    with system_transaction():
        return Message.objects.filter(**filters).count()


def archived(**filters: Any) -> list[UUID]:
    with system_transaction():
        rows = MessageRecord.objects.filter(is_archived=True, **filters)
        return list(rows.order_by("pk").values_list("pk", flat=True))


def test_a_closed_outbox_is_archived_once_its_window_is_over(account: Account) -> None:
    now = timezone.now()
    ids = [message.pk for message in d.rows(outbox=closed(account, at=now - timedelta(seconds=59)))]
    assert archive_messages(now=now) == 0

    assert archive_messages(now=now + timedelta(seconds=3)) == 3

    assert archived() == ids
    assert live() == 0
    assert archive_messages(now=now + HOUR) == 0


@pytest.mark.parametrize(
    "longer",
    [
        {"limit_count": 1, "limit_seconds": 7200},
        {"fan_gap_seconds": 7200},
        {"fan_cap_count": 1, "fan_cap_seconds": 7200},
        {"min_gap_ms": 7_200_000},
    ],
)
def test_the_longest_window_of_the_tenants_accounts_counts(
    agency: Tenant, account: Account, longer: dict[str, int]
) -> None:
    now = timezone.now()
    factories.account(tenant=agency, **longer)
    closed(account, at=now)
    assert archive_messages(now=now + HOUR) == 0
    assert archive_messages(now=now + 3 * HOUR) == 3


def test_the_longest_limit_of_any_layer_counts(account: Account) -> None:
    now = timezone.now()
    factories.send_limit(layer="global", count=1, seconds=7200)
    closed(account, at=now)
    assert archive_messages(now=now + HOUR) == 0
    assert archive_messages(now=now + 3 * HOUR) == 3


def test_a_slot_that_still_counts_keeps_its_message(account: Account) -> None:
    now = timezone.now()
    outbox = closed(account, at=now)
    young = d.rows(outbox=outbox)[0]
    d.change(young, slots=[now, now + HOUR])

    assert archive_messages(now=now + HOUR) == 2
    assert [message.pk for message in d.rows(outbox=outbox)] == [young.pk]
    assert d.fresh(outbox).archived_at is None

    assert archive_messages(now=now + 2 * HOUR) == 1
    assert archive_messages(now=now + 2 * HOUR) == 0
    assert d.fresh(outbox).archived_at == now + 2 * HOUR


def test_an_open_outbox_stays(account: Account) -> None:
    now = timezone.now()
    closed(account, at=now)
    with system_transaction():
        Outbox.objects.update(closed_at=None)
    assert archive_messages(now=now + HOUR) == 0


def test_a_cancelled_outbox_is_closed_when_it_is_settled_then_archived(
    agency: Tenant, account: Account
) -> None:
    now = timezone.now()
    outbox = d.enqueue(account, 2, now=now)
    with tenant_transaction(agency):
        outboxes.cancel(outbox=outbox, now=now)
    archive_messages(now=now)
    assert d.fresh(outbox).closed_at is None

    with system_transaction():
        Message.objects.update(state="cancelled", finished_at=now)
        Outbox.objects.update(queued=0, cancelled=2)
    archive_messages(now=now)
    assert d.fresh(outbox).closed_at == now
    assert archive_messages(now=now + HOUR) == 2


def test_single_messages_go_thirty_days_after_their_end(account: Account) -> None:
    now = timezone.now()
    month_ago = now - timedelta(days=31)
    end = {"state": "dead", "finished_at": month_ago}
    old, *others = factories.fans(4, account=account)
    gone = factories.message(fan=old, now=month_ago, **end)
    factories.message(fan=others[0], now=month_ago, **{**end, "finished_at": now - timedelta(days=29)})
    factories.message(fan=others[1], now=month_ago)
    factories.message(fan=others[2], now=month_ago, **end, slots=[now])

    assert archive_messages(now=now) == 1
    assert archived() == [gone.pk]


def test_the_archive_keeps_everything_that_can_be_read(account: Account, api: APIClient) -> None:
    now = timezone.now()
    outbox = closed(account, 2, at=now, text="Ünïcödé", reason="why", error="not", platform_id="p-1")
    listed = as_json(api.get("/api/v2/messages"))
    with system_transaction():
        before = list(MessageRecord.objects.filter(outbox=outbox).values())

    archive_messages(now=now + HOUR)

    assert as_json(api.get("/api/v2/messages")) == listed
    row = listed["results"][0]
    assert as_json(api.get(f"/api/v2/messages/{row['id']}")) == row
    with system_transaction():
        after = list(MessageRecord.objects.filter(outbox=outbox).values())
    assert after == [{**each, "is_archived": True} for each in before]


def test_the_archive_has_every_column_but_those_of_an_attempt_under_way() -> None:
    under_way = {"lease_expires_at", "send_by", "started_at", "look_up_at", "epoch", "is_probe"}
    kept = {field.column for field in MessageRecord._meta.concrete_fields} - {"is_archived"}
    every = {field.column for field in Message._meta.concrete_fields} - {"newest_slot"}
    assert every - kept == under_way
    assert kept - every == set()


def test_a_list_pages_through_live_and_archived_ones(account: Account, api: APIClient) -> None:
    now = timezone.now()
    old = closed(account, 5, at=now - HOUR)
    archive_messages(now=now)
    new = d.enqueue(account, 4, now=now)
    everything = [str(message.pk) for message in reversed(d.rows(outbox=new))]
    everything += [str(message_id) for message_id in reversed(archived())]

    for query, expected in (
        ("limit=2", everything),
        (f"limit=3&account={account.pk}", everything),
        (f"limit=2&campaign={old.campaign_id}", everything[4:]),
        ("limit=2&state=queued", everything[:4]),
    ):
        found, url = [], f"/api/v2/messages?{query}"
        while url:
            page = as_json(api.get(url))
            found += [row["id"] for row in page["results"]]
            url = page["next"]
        assert found == expected


def test_a_stranger_sees_nothing_of_the_archive(account: Account, stranger_api: APIClient) -> None:
    now = timezone.now()
    closed(account, at=now)
    archive_messages(now=now + HOUR)
    assert as_json(stranger_api.get("/api/v2/messages"))["results"] == []
    assert stranger_api.get(f"/api/v2/messages/{archived()[0]}").status_code == 404


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE messaging_messagearchive SET text = ''",
        "DELETE FROM messaging_messagearchive",
        "TRUNCATE messaging_messagearchive",
    ],
)
def test_what_is_archived_is_never_changed(statement: str, agency: Tenant) -> None:
    for door in (tenant_transaction(agency), system_transaction()):
        with pytest.raises(ProgrammingError), door, connection.cursor() as cursor:
            cursor.execute(statement)


def test_each_month_has_a_partition_of_its_own(account: Account) -> None:
    now = timezone.now()
    fans = factories.fans(4, account=account)
    first_instants = [datetime(2031, month, 1, tzinfo=now.tzinfo) for month in (1, 2)]
    for fan, instant in zip(
        fans, [*first_instants, first_instants[1] - timedelta(milliseconds=1), now], strict=True
    ):
        factories.message(
            id=UUID(int=first_id_of(instant).int + uuid7().int % 2**60),
            fan=fan,
            state="dead",
            finished_at=now - timedelta(days=40),
        )

    assert archive_messages(now=now) == 4

    with system_transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text, count(*) FROM messaging_messagearchive GROUP BY 1")
        found = dict(cursor.fetchall())
    assert found == {
        "messaging_messagearchive_2031_01": 2,
        "messaging_messagearchive_2031_02": 1,
        f"messaging_messagearchive_{now:%Y_%m}": 1,
    }


def test_killed_at_any_statement_nothing_is_lost_or_doubled(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    monkeypatch.setattr(archive, "CHUNK", 2)
    closed(account, 5, at=now)
    with CaptureQueriesContext(connection) as captured:
        archive_messages(now=now + HOUR)
    everything = set(archived())
    assert len(everything) == 5
    for number in range(1, len(captured) + 1):
        outbox = closed(account, 5, at=now)
        ids = {message.pk for message in d.rows(outbox=outbox)}
        everything |= ids
        with killed_before(number):
            archive_messages(now=now + HOUR)
        with system_transaction():
            found = list(MessageRecord.objects.values_list("pk", flat=True))
        assert sorted(found) == sorted(everything)
        archive_messages(now=now + HOUR)
        assert set(archived()) == everything
        assert d.fresh(outbox).archived_at


def test_two_at_once_archive_each_message_once(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    monkeypatch.setattr(archive, "CHUNK", 7)
    outbox = closed(account, 100, at=now)
    together = Barrier(2)

    def run() -> int:
        together.wait()
        moved = archive_messages(now=now + HOUR)
        connection.close()
        return moved

    with ThreadPoolExecutor(2) as pool:
        moved = sum(each.result() for each in [pool.submit(run) for _ in range(2)])

    assert moved == len(archived()) == 100
    archive_messages(now=now + HOUR)
    assert d.fresh(outbox).archived_at
