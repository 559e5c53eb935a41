"""Entries for tests of the roll-ups, and what these should hold, reckoned by Python's own calendar."""

from collections import defaultdict
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from django.conf import settings
from django.db import connection

from apps.common.ids import uuid7
from apps.costs.services.partitions import ensure_ledger_partitions
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction

Connection = psycopg.Connection[tuple[Any, ...]]
Sums = dict[tuple[Any, ...], list[Any]]
_WHAT, _WHOM = "provider, model, task_kind", "account_id, campaign_id, user_id"
# The period and the dimensions of each roll-up.
KINDS = {
    "costs_hourrollup": ("day, hour", f"{_WHAT}, {_WHOM}"),
    "costs_dayrollup": ("day", f"{_WHAT}, {_WHOM}"),
    "costs_daywhatrollup": ("day", _WHAT),
    "costs_daywhomrollup": ("day", _WHOM),
    "costs_monthrollup": ("month", f"{_WHAT}, {_WHOM}"),
}
_SUMS = "attempts, estimated, input_tokens, cached_tokens, output_tokens, amount"
_INSERT = """
INSERT INTO costs_ledgerentry (tenant_id, occurred_at, generation_id, attempt, sequence, provider, model,
    task_kind, account_id, campaign_id, user_id, price_id, input_tokens, cached_tokens, output_tokens, amount,
    estimated)
VALUES (%(tenant_id)s, %(occurred_at)s, %(generation_id)s, %(attempt)s, %(sequence)s, %(provider)s, %(model)s,
    %(task_kind)s, %(account_id)s, %(campaign_id)s, %(user_id)s, %(price_id)s, %(input_tokens)s,
    %(cached_tokens)s, %(output_tokens)s, %(amount)s, %(estimated)s)
"""
_ALONE = "SELECT {key}, {sums} FROM {kind} WHERE tenant_id = ANY(%s)"
_WITH_TAIL = """
SELECT {key}, {summed}
FROM (SELECT {key}, {sums} FROM {kind}
      UNION ALL SELECT {key}, {sums} FROM costs_ledger_tail(NULL, NULL, NULL)) AS together
WHERE tenant_id = ANY(%s) GROUP BY {key}
"""


def make_partitions() -> None:
    """Of the year 2026, from February on."""
    for month in range(3, 11):
        ensure_ledger_partitions(today=date(2026, month, 1))


def row(tenant: Tenant, price_id: int, **fields: Any) -> dict[str, Any]:
    return {
        "tenant_id": tenant.pk,
        "occurred_at": datetime(2026, 5, 5, 12, tzinfo=UTC),
        "generation_id": uuid7(),
        "attempt": 1,
        "sequence": 0,
        "provider": "openai",
        "model": "gpt-3.5-turbo",
        "task_kind": "message",
        "account_id": None,
        "campaign_id": None,
        "user_id": None,
        "price_id": price_id,
        "input_tokens": 10,
        "cached_tokens": 3,
        "output_tokens": 5,
        "amount": Decimal("0.0123456789"),
        "estimated": False,
        **fields,
    }


def correction(entry: dict[str, Any], *, amount: Decimal) -> dict[str, Any]:
    return {
        **entry,
        "sequence": 1,
        "estimated": False,
        "amount": amount,
        "input_tokens": 7,
        "cached_tokens": 0,
    }


def another_connection() -> Connection:
    """One that is not ours, as the owner, whom no policy concerns."""
    return psycopg.connect(settings.DATABASE_OWNER_URL)


def insert(other: Connection, *rows: dict[str, Any]) -> None:
    for each in rows:
        other.execute(_INSERT, each)


def enter(*rows: dict[str, Any]) -> None:
    with another_connection() as other:
        insert(other, *rows)


def spoil(statement: str, *given: Any, having: str = "") -> None:
    """Do to each roll-up, {}, what nobody may; or to those that have a dimension."""
    with another_connection() as owner:
        for kind in (kind for kind, (_, key) in KINDS.items() if having in key):
            owner.execute(statement.format(kind), given)


def labels(kind: str, at: datetime, time_zone: str) -> tuple[Any, ...]:
    local = at.astimezone(ZoneInfo(time_zone))
    day, (period, _) = local.date(), KINDS[kind]
    if period == "month":
        return (day.replace(day=1),)
    if period == "day":
        return (day,)
    into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return day, at - into


def expected(kind: str, entries: Collection[dict[str, Any]], zones: dict[UUID, str]) -> Sums:
    found: Sums = defaultdict(lambda: [0, 0, 0, 0, 0, Decimal(0)])
    for each in entries:
        key = tuple(each[name] for name in KINDS[kind][1].split(", "))
        sums = found[(each["tenant_id"], *labels(kind, each["occurred_at"], zones[each["tenant_id"]]), *key)]
        added = [
            int(each["sequence"] == 0),
            int(each["estimated"]) - int(each["sequence"] == 1),
            each["input_tokens"],
            each["cached_tokens"],
            each["output_tokens"],
            each["amount"],
        ]
        sums[:] = [one + other for one, other in zip(sums, added, strict=True)]
    return dict(found)


def rolled_up(kind: str, tenants: Collection[UUID], *, with_tail: bool = True) -> Sums:
    """What a roll-up holds for these tenants, with what came after it or without."""
    key = ", ".join(("tenant_id", *KINDS[kind]))
    summed = ", ".join(f"sum({name})" for name in _SUMS.split(", "))
    statement = (_WITH_TAIL if with_tail else _ALONE).format(key=key, sums=_SUMS, summed=summed, kind=kind)
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute(statement, [list(tenants)])
        rows = [(found[:-6], list(found[-6:])) for found in cursor.fetchall()]
    assert len(dict(rows)) == len(rows), "there is a row for each key, and no second one"
    return dict(rows)


def held(tenant: Tenant, kind: str = "costs_dayrollup") -> list[list[Any]]:
    """The sums of a tenant's rows, without what came after them."""
    return list(rolled_up(kind, [tenant.pk], with_tail=False).values())
