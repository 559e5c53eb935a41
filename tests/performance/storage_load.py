"""Fill, count, send, list and archive messages on the configured services, and print what each costs."""

import argparse
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

import django
import psycopg

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huntaze.settings")
django.setup()

from django.db import connection, connections  # noqa: E402 -- Django has to be set up first
from django.utils import timezone  # noqa: E402

from apps.common.ids import uuid7_in_sql  # noqa: E402
from apps.common.priority import Priority  # noqa: E402
from apps.messaging.gateways.base import Result, Sent  # noqa: E402
from apps.messaging.models import Account, Fan, MessageRecord, Outbox  # noqa: E402
from apps.messaging.services import archive, claim, eta, outboxes, outcomes, queue, send, sweep  # noqa: E402
from apps.tenants.doors import tenant_transaction  # noqa: E402
from apps.tenants.models import Tenant  # noqa: E402
from apps.tenants.system import system_transaction  # noqa: E402

# Accounts of one campaign.
ACCOUNTS_EACH = 100
AT_ONCE = 100
_HOURS = count(1)

_FANS = f"""
INSERT INTO messaging_fan (id, tenant_id, account_id, external_id, name, attributes, spend, consent)
SELECT {uuid7_in_sql(number="n")}, %s, %s, 'fan-' || n, 'Fan ' || n, '{{}}', 0, true
FROM generate_series(0::bigint, %s - 1) n
"""  # noqa: S608
_UPDATES = """
SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = %s
"""
_SIZES = """
SELECT relname, pg_relation_size(oid) FROM pg_class
WHERE oid = 'messaging_message'::regclass
   OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'messaging_message'::regclass)
ORDER BY 2 DESC
"""


class Meter:
    """Prints what a part costs for each of its rows: microseconds and bytes of the write-ahead log."""

    def __init__(self, superuser: str) -> None:
        self.connection = psycopg.connect(superuser, dbname="huntaze", autocommit=True)

    @contextmanager
    def measure(self, what: str, *, rows: int) -> Iterator[None]:
        (before,) = self.one("SELECT pg_current_wal_lsn()")
        began = time.perf_counter()
        yield
        microseconds = (time.perf_counter() - began) * 1e6 / rows
        (written,) = self.one("SELECT pg_current_wal_lsn() - %s::pg_lsn", before)
        self.say(
            what, f"{microseconds:8.1f} µs and {int(written) / rows:6.0f} bytes of log each, of {rows:,}"
        )

    def one(self, statement: str, *parameters: Any) -> Any:
        return self.connection.execute(statement, parameters).fetchone()

    def updates(self, table: str) -> tuple[int, int]:
        # A session reports its counts at the latest when it ends.
        connection.close()
        connections["default"].close_pool()  # type: ignore[attr-defined]  # PostgreSQL's alone has one
        self.connection.execute("SELECT pg_stat_clear_snapshot()")
        found: tuple[int, int] = self.one(_UPDATES, table)
        return found

    def say(self, what: str, figure: str) -> None:
        print(f"{what:46} {figure}", flush=True)  # noqa: T201


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.storage_load", description=__doc__)
    parser.add_argument("superuser")
    parser.add_argument("messages", type=int)
    parser.add_argument("accounts", type=int)
    parser.add_argument("send", type=int)
    given = parser.parse_args()
    meter = Meter(given.superuser)
    tenant = _people(given.accounts, given.messages // given.accounts)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    boxes = _fill(meter, tenant, given.messages)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    meter.say("memory that filling took", f"{grown:8.1f} MB")
    _sizes(meter, given.messages)
    _read(meter, tenant, boxes, "before VACUUM")
    meter.connection.execute("VACUUM (ANALYZE) messaging_message")
    _read(meter, tenant, boxes, "after VACUUM")
    sent = _send(meter, given.send)
    _sizes(meter, given.messages)
    _archive(meter, sent)
    _read(meter, tenant, boxes, "with an archive")


def _people(accounts: int, fans: int) -> Tenant:
    with system_transaction(), connection.cursor() as cursor:
        tenant = Tenant.objects.create(name="A million fans")
        # A limit that leaves the pace to the machine.
        rows = [
            Account(
                tenant_id=tenant.pk,
                external_id=f"creator-{number}",
                name="Creator",
                credential="a token",
                limit_count=1000,
                limit_seconds=60,
            )
            for number in range(accounts)
        ]
        for account in Account.objects.bulk_create(rows):
            cursor.execute(_FANS, [tenant.pk, account.pk, fans])
    return tenant


def _fill(meter: Meter, tenant: Tenant, messages: int) -> list[Outbox]:
    boxes: list[Outbox] = []
    with system_transaction():
        accounts = list(Account.objects.order_by("pk").values_list("pk", flat=True))
    now = timezone.now()
    with meter.measure("filled", rows=messages):
        for number, account_id in enumerate(accounts):
            after = None
            with tenant_transaction(tenant):
                if number % ACCOUNTS_EACH == 0:
                    boxes.append(
                        outboxes.create_outbox(
                            tenant_id=tenant.pk, campaign_id=None, priority=Priority.MEDIUM, user_id=None
                        )
                    )
            while True:
                with tenant_transaction(tenant):
                    after = outboxes.enqueue_template(
                        outbox=boxes[-1],
                        account_id=account_id,
                        body="Hi {{ fan.name }}, there is something new for you, have a look when you can.",
                        fans=Fan.objects.filter(consent=True),
                        price=None,
                        not_before=now,
                        after=after,
                        now=now,
                    )
                if after is None:
                    break
    return boxes


def _read(meter: Meter, tenant: Tenant, boxes: list[Outbox], when: str) -> None:
    now = timezone.now()
    with system_transaction():
        accounts = list(Account.objects.order_by("?").values_list("pk", flat=True)[:AT_ONCE])
    with meter.measure(f"heads of {AT_ONCE} accounts' queues, {when}", rows=1), system_transaction():
        queue.heads(accounts, most=10, now=now)
    with system_transaction():
        fresh = list(Outbox.objects.filter(pk__in=[box.pk for box in boxes]))
    # Each time an hour later, when no estimate is kept.
    then = now + timedelta(hours=next(_HOURS))
    with meter.measure(f"ends of all campaigns, {when}", rows=1), tenant_transaction(tenant):
        eta.estimates(outboxes=fresh, now=then)
    lists = {
        "tenant": {},
        "account": {"account_id": accounts[0]},
        "outbox": {"outbox_id": boxes[0].pk},
    }
    for name, wanted in lists.items():
        with meter.measure(f"newest 50 of the {name}, {when}", rows=1), tenant_transaction(tenant):
            list(MessageRecord.objects.filter(**wanted).select_related("outbox").order_by("-id")[:50])


def _send(meter: Meter, wanted: int) -> int:
    sent = 0
    before = {table: meter.updates(table) for table in ("messaging_message", "messaging_account")}
    with meter.measure("claimed, started and recorded", rows=wanted):
        while sent < wanted:
            granted = claim.claim_messages(now=timezone.now()).message_ids
            if not granted:
                # A machine that is busy with others may have let something lie for longer than 5 s.
                sweep.return_unstarted(now=timezone.now())
                time.sleep(0.05)  # until an account's next slot opens
            now = timezone.now()
            batch = send.start(message_ids=granted, clock=send.Clock.at(now), platforms=["onlyfans"])
            results = [Result(request, Sent(platform_id="1234567890"), now) for request in batch.requests]
            for first in range(0, len(results), AT_ONCE):
                outcomes.record(
                    results=results[first : first + AT_ONCE], epoch=batch.epoch, now=timezone.now()
                )
            sent += len(results)
    for table, (all_before, hot_before) in before.items():
        every, hot = meter.updates(table)
        share = (hot - hot_before) / (every - all_before)
        meter.say(f"updates of {table}", f"{(every - all_before) / sent:8.2f} a message, {share:.0%} HOT")
    return sent


def _sizes(meter: Meter, messages: int) -> None:
    for name, size in meter.connection.execute(_SIZES).fetchall():
        meter.say(f"  {name}", f"{size / messages:8.1f} bytes a message")


def _archive(meter: Meter, sent: int) -> None:
    """Archive the first outboxes, as if all of their messages had been sent an hour ago."""
    meter.connection.execute(
        "UPDATE messaging_outbox SET closed_at = now() - interval '1 hour' WHERE id IN"
        " (SELECT id FROM messaging_outbox ORDER BY id LIMIT 1)"
    )
    (rows,) = meter.one(
        "WITH ended AS (UPDATE messaging_message SET state = 'sent', sent_at = now(), finished_at = now(),"
        " slots = ARRAY[now() - interval '1 hour'], text = 'Hi', lease_expires_at = NULL WHERE outbox_id ="
        " (SELECT id FROM messaging_outbox ORDER BY id LIMIT 1) RETURNING 1) SELECT count(*) FROM ended"
    )
    with meter.measure("archived", rows=rows):
        archive.archive_messages(now=timezone.now())


if __name__ == "__main__":
    main()
