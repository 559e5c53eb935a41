from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.common.ids import uuid7
from apps.costs import queries
from apps.costs.queries import Costs
from apps.costs.rollup_reading import Dimension
from apps.costs.services import holds, rollups
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests.costs.spending import MODEL, dollar_price, dollars, take

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_campaigns_cost_is_split_by_model_the_dearest_first(agency: Tenant, stranger: Tenant) -> None:
    dollar_price()
    dollar_price("azure")
    campaign = uuid7()
    for provider, cost in (("openai", 3), ("azure", 7), ("openai", 2)):
        hold = take(agency, 10, provider=provider, campaign_id=campaign)
        holds.settle(hold=hold, usage=dollars(cost), now=timezone.now())
    take(agency, 10, campaign_id=campaign)
    holds.settle(hold=take(agency, 10), usage=dollars(9), now=timezone.now())

    with tenant_transaction(agency):
        rows = queries.campaign_costs_by_model(campaign_id=campaign)
        total = queries.campaign_cost(campaign_id=campaign)
    with tenant_transaction(stranger):
        hidden = queries.campaign_cost(campaign_id=campaign)

    assert [(row.provider, row.model, row.currency) for row in rows] == [
        ("azure", MODEL, "USD"),
        ("openai", MODEL, "USD"),
    ]
    assert [row.costs for row in rows] == [
        Costs(1, 0, 7, 0, 0, Decimal(7)),
        Costs(2, 0, 5, 0, 0, Decimal(5)),
    ]
    assert total == Costs(3, 0, 12, 0, 0, Decimal(12))
    assert hidden == Costs(0, 0, 0, 0, 0, Decimal(0))


def test_where_there_is_no_campaign_the_ledger_is_left_alone(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert queries.cost_by_campaign([]) == {}


def test_sums_are_of_the_tenant_asked_for_also_where_all_are_visible(
    agency: Tenant, stranger: Tenant
) -> None:
    dollar_price()
    now = timezone.now()
    today = now.date()

    def spend(tenant: Tenant, cost: int) -> None:
        holds.settle(hold=take(tenant, 10, now=now), usage=dollars(cost), now=now)

    def spent() -> list[Decimal]:
        with system_transaction():
            stats = queries.stats(tenant_id=agency.pk, time_zone="UTC", now=now)
            breakdown = queries.breakdown(
                tenant_id=agency.pk,
                since=today,
                until=today,
                by=[Dimension.MODEL],
                order=[("amount", True)],
                limit=10,
            )
            month = queries.cost_of_month(tenant_id=agency.pk, time_zone="UTC", now=now)
        return [stats["today"].costs.amount, breakdown.total.amount, month.amount]

    spend(agency, 3)
    spend(stranger, 5)
    assert spent() == [3, 3, 3]
    rollups.roll_up()
    assert spent() == [3, 3, 3]


def test_an_estimate_counts_as_one_until_it_is_corrected(agency: Tenant) -> None:
    dollar_price()
    now = timezone.now()
    campaign = uuid7()
    hold = take(agency, 10, campaign_id=campaign, now=now)
    holds.settle(hold=hold, usage=None, now=now)
    with tenant_transaction(agency):
        before = queries.campaign_cost(campaign_id=campaign)

    holds.settle(hold=hold, usage=dollars(4), now=now)

    with tenant_transaction(agency):
        after = queries.campaign_cost(campaign_id=campaign)
    assert before == Costs(1, 1, 0, 0, 0, Decimal(10))
    assert after == Costs(1, 0, 4, 0, 0, Decimal(4))


@pytest.mark.parametrize(
    ("by", "only", "index"),
    [
        ((Dimension.DAY, Dimension.MODEL), {}, "daywhatrollup_once"),
        ((Dimension.DAY, Dimension.USER), {}, "daywhomrollup_once"),
        ((Dimension.DAY, Dimension.MODEL), {Dimension.CAMPAIGN: uuid7()}, "dayrollup_once"),
    ],
)
def test_days_are_read_from_an_index_alone(
    agency: Tenant, by: tuple[Dimension, ...], only: dict[Dimension, Any], index: str
) -> None:
    with tenant_transaction(agency), connection.cursor() as cursor:
        for way in ("seqscan", "bitmapscan"):  # which few rows would be read by
            cursor.execute(f"SET LOCAL enable_{way} = off")
        with CaptureQueriesContext(connection) as asked:
            queries.breakdown(
                tenant_id=agency.pk,
                since=date(2026, 1, 1),
                until=date(2026, 12, 31),
                by=by,
                order=[("day", False)],
                limit=100,
                only=only,
            )
        cursor.execute(f"EXPLAIN {asked[0]['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert f"Index Only Scan using {index}" in plan
