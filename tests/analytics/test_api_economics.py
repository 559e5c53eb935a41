"""GET /api/v2/analytics/economics and a campaign's costs: costs, messages and revenue side by side."""

import csv
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from io import StringIO
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from apps.analytics.economics import Economics
from apps.analytics.models import RevenueEntry
from apps.analytics.queries import Order, Subject, economics
from apps.campaigns.models import Campaign
from apps.costs.models import ExchangeRate
from apps.costs.services import rollups
from apps.costs.services.currencies import choose_currency
from apps.messaging.models import Account, Fan, Message, MessageState, Outbox
from apps.messaging.services.archive import archive_messages
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.conftest import as_json
from tests.costs.rolled import another_connection, enter, make_partitions, row

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/v2/analytics/economics"
NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
MAY = {"from": "2026-05-01", "to": "2026-05-31"}


@pytest.fixture(autouse=True)
def _year() -> None:
    make_partitions()


@pytest.fixture
def price_id() -> int:
    return factories.price().pk


@pytest.fixture
def campaign(agency: Tenant, account: Account) -> Campaign:
    return factories.campaign(tenant=agency, accounts=[account], name="Été")


def sent(fans: list[Fan], *, at: datetime = NOON, outbox: Outbox | None = None) -> None:
    for fan in fans:
        factories.message(
            fan=fan, state=MessageState.SENT, sent_at=at, finished_at=at, outbox=outbox, not_before=at
        )
    if outbox is not None:
        with system_transaction():
            box = Outbox.objects.get(pk=outbox.pk)
            box.sent += len(fans)
            box.save()


def earn(account: Account, amount: str, *, at: datetime = NOON, campaign: Campaign | None = None) -> None:
    with system_transaction():
        RevenueEntry.objects.create(
            tenant_id=account.tenant_id,
            account=account,
            campaign=campaign,
            external_id=f"tx-{RevenueEntry.objects.count()}",
            occurred_at=at,
            amount=Decimal(amount),
            kind="refund" if amount.startswith("-") else "purchase",
        )


def ask(api: APIClient, **query: str) -> Any:
    response = api.get(PATH, {**MAY, **query})
    assert response.status_code == 200, response.content
    return as_json(response)


def figures(answer: Any) -> tuple[Any, ...]:
    money = [
        answer[name] and answer[name]["amount"]
        for name in ("ai_cost", "cost_per_message", "revenue", "margin")
    ]
    return (money[0], answer["messages_sent"], *money[1:], answer["cost_share"])


def test_each_account_has_its_cost_messages_and_revenue(
    agency: Tenant, api: APIClient, account: Account, price_id: int, campaign: Campaign
) -> None:
    quiet = factories.account(tenant=agency, name="Quiet")
    enter(
        row(agency, price_id, account_id=account.pk, amount=Decimal("0.5")),
        row(agency, price_id, account_id=account.pk, campaign_id=campaign.pk, amount=Decimal("1.5")),
        row(agency, price_id, campaign_id=campaign.pk, amount=Decimal("0.25")),
    )
    rollups.roll_up()
    enter(row(agency, price_id, account_id=quiet.pk, amount=Decimal("0.1")))
    fans = factories.fans(4, account=account)
    sent(fans[:3], outbox=campaign.outbox)
    sent(fans[3:])
    earn(account, "50", campaign=campaign)
    earn(account, "-10")

    answer = ask(api)

    assert (answer["by"], answer["rows"], answer["revenue_known"]) == ("account", 2, True)
    assert [each["name"] for each in answer["results"]] == [account.name, "Quiet"]
    first, second = answer["results"]
    assert first["id"] == str(account.pk)
    assert figures(first) == ("2.00", 4, "0.50", "40.00", "38.00", 0.05)
    assert figures(second) == ("0.10", 0, None, None, None, None)
    assert figures(answer["unattributed"]) == ("0.25", 0, None, None, None, None)
    assert figures(answer["total"]) == ("2.35", 4, "0.5875", "40.00", "37.65", 0.05875)

    by_campaign = ask(api, by="campaign")
    (only,) = by_campaign["results"]
    assert (only["id"], only["name"]) == (str(campaign.pk), "Été")
    assert figures(only) == ("1.75", 3, "0.5833333333", "50.00", "48.25", 0.035)
    assert figures(by_campaign["unattributed"]) == ("0.60", 1, "0.60", "-10.00", "-10.60", None)
    assert by_campaign["total"] == answer["total"]


def test_without_revenue_it_is_unknown_and_says_so(agency: Tenant, api: APIClient, price_id: int) -> None:
    empty = ask(api)
    assert (empty["results"], empty["rows"], empty["revenue_known"]) == ([], 0, False)
    assert figures(empty["total"]) == ("0.00", 0, None, None, None, None)
    enter(row(agency, price_id))
    assert ask(api)["total"]["revenue"] is None


def test_days_are_of_the_tenants_calendar_though_its_clock_changes(api: APIClient, account: Account) -> None:
    with system_transaction():
        Tenant.objects.update(time_zone="Europe/Berlin")
    # The last and the first instant of 2026-03-29, which has 23 hours there.
    begin, end = datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC)
    moment = timedelta(microseconds=1)
    # Different numbers, so that no other day has as many.
    for number, at in enumerate([begin - moment, begin, end - moment, end], start=1):
        sent(factories.fans(number, account=account), at=at)
        earn(account, str(number), at=at)
    day = {"from": "2026-03-29", "to": "2026-03-29"}
    for _ in range(2):
        answer = ask(api, **day)
        assert answer["total"]["messages_sent"] == 5
        assert answer["total"]["revenue"]["amount"] == "5.00"
        # And again of the archive.
        archive_messages(now=end + timedelta(days=60))
    with system_transaction():
        assert not Message.objects.exists()


def test_a_message_counts_once_on_its_way_to_the_archive_and_there(
    agency: Tenant, stranger: Tenant, account: Account, campaign: Campaign
) -> None:
    fans = factories.fans(6, account=account)
    sent(fans[:2], outbox=campaign.outbox)
    sent(fans[2:4])
    sent(fans[4:5], at=NOON + timedelta(days=40))
    sent([factories.fan(account=factories.account(tenant=stranger))])
    factories.message(fan=fans[5])

    def counts() -> dict[str, int]:
        found = {}
        for by in Subject:
            with tenant_transaction(agency):
                table = economics(
                    tenant_id=agency.pk,
                    time_zone="UTC",
                    by=by,
                    since=NOON.date(),
                    until=NOON.date(),
                    order=(Order.NAME, False),
                    limit=10,
                )
            assert table.total.messages_sent == 4
            found[by.value] = sum(each.figures.messages_sent for each in table.rows)
        return found

    before = counts()
    assert before == {"account": 4, "campaign": 2}
    # Single ones of May are archived, those of June not yet; then the campaign's too, in chunks of one.
    assert archive_messages(now=NOON + timedelta(days=31)) == 3
    assert counts() == before
    with system_transaction():
        Outbox.objects.update(closed_at=NOON)
    assert archive_messages(now=NOON + timedelta(days=31)) == 2
    assert counts() == before
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT sum(number) FROM analytics_sentday")
        assert cursor.fetchone() == (5,)


def test_what_was_archived_before_is_counted_when_counting_begins(account: Account) -> None:
    sent(factories.fans(3, account=account))
    sent(factories.fans(1, account=account), at=NOON + timedelta(days=1))
    archive_messages(now=NOON + timedelta(days=60))
    migration = import_module("apps.analytics.migrations.0001_revenue")
    counted = "SELECT * FROM analytics_sentday ORDER BY day"
    with another_connection() as owner:
        by_trigger = owner.execute(counted).fetchall()
        owner.execute("DELETE FROM analytics_sentday")
        owner.execute(migration._COUNT_WHAT_IS_THERE)
        assert owner.execute(counted).fetchall() == by_trigger
    assert [each[-1] for each in by_trigger] == [3, 1]


def test_who_dies_while_archiving_counts_nothing(account: Account) -> None:
    sent(factories.fans(2, account=account))

    class KilledError(Exception):
        pass

    with pytest.raises(KilledError), system_transaction(), connection.cursor() as cursor:  # noqa: PT012
        cursor.execute("SELECT ensure_message_archive(%s::date[])", [[datetime.now(UTC).date()]])
        archive_messages(now=NOON + timedelta(days=60))
        cursor.execute("SELECT count(*) FROM analytics_sentday")
        assert cursor.fetchone() == (1,)
        raise KilledError
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM analytics_sentday")
        assert cursor.fetchone() == (0,)


def test_nobody_sees_another_tenants(
    agency: Tenant,
    api: APIClient,
    stranger_api: APIClient,
    account: Account,
    campaign: Campaign,
    price_id: int,
) -> None:
    enter(row(agency, price_id, account_id=account.pk))
    sent(factories.fans(2, account=account), outbox=campaign.outbox)
    earn(account, "5", campaign=campaign)
    archive_messages(now=NOON + timedelta(days=60))
    assert ask(api)["rows"] == 1
    assert figures(ask(stranger_api)["total"]) == ("0.00", 0, None, None, None, None)
    assert stranger_api.get(f"/api/v2/campaigns/costs/{campaign.pk}").status_code == 404


@pytest.mark.parametrize("by", list(Subject))
def test_one_tenants_are_its_own_to_an_operator_too(
    agency: Tenant, stranger: Tenant, price_id: int, by: Subject
) -> None:
    for number, tenant in enumerate((agency, stranger), start=1):
        account = factories.account(tenant=tenant)
        campaign = factories.campaign(tenant=tenant, accounts=[account])
        of = {"account_id": account.pk, "campaign_id": campaign.pk}
        enter(row(tenant, price_id, amount=Decimal(number), **of))
        rollups.roll_up()
        enter(row(tenant, price_id, amount=Decimal(number), **of))
        sent(factories.fans(number, account=account))
        earn(account, str(number), campaign=campaign)
    archive_messages(now=NOON + timedelta(days=60))
    for number, tenant in enumerate((agency, stranger), start=1):
        sent(factories.fans(number, account=factories.account(tenant=tenant)))
        with system_transaction():
            table = economics(
                tenant_id=tenant.pk,
                time_zone="UTC",
                by=by,
                since=NOON.date() - timedelta(days=10),
                until=NOON.date(),
                order=(Order.NAME, False),
                limit=10,
            )
        assert table.total == Economics(Decimal(2 * number), 2 * number, Decimal(number))


@pytest.mark.parametrize("order", [*Order, *(f"-{each}" for each in Order)])
def test_rows_come_in_the_order_asked_for_and_page_by_page(
    agency: Tenant, api: APIClient, price_id: int, order: str
) -> None:
    for number in (3, 1, 2):
        account = factories.account(tenant=agency, name=f"{number}")
        enter(row(agency, price_id, account_id=account.pk, amount=Decimal(number * number)))
        sent(factories.fans(number, account=account))
        earn(account, str(100 * number))
    unknown = factories.account(tenant=agency, name="9")
    enter(row(agency, price_id, account_id=unknown.pk, amount=Decimal(100)))

    whole = [each["name"] for each in ask(api, order=order)["results"]]
    paged = [
        each["name"]
        for at in range(4)
        for each in ask(api, order=order, limit="1", offset=str(at))["results"]
    ]

    name = order.removeprefix("-")
    expected = ["3", "2", "1"] if order.startswith("-") else ["1", "2", "3"]
    at_its_place = {"name": 9, "ai_cost": 100, "messages_sent": 0}.get(name)
    if at_its_place is None:
        assert whole == [*expected, "9"]  # what isn't known is last
    else:
        high = (at_its_place > 0) == (not order.startswith("-"))
        assert whole == ([*expected, "9"] if high else ["9", *expected])
    assert paged == whole


def test_a_file_has_all_rows_in_any_script_and_no_formula(
    agency: Tenant, api: APIClient, account: Account, price_id: int
) -> None:
    odd = factories.account(tenant=agency, name="=Лу́на, “x”")
    enter(
        row(agency, price_id, account_id=odd.pk, amount=Decimal(3)),
        row(agency, price_id, account_id=account.pk),
    )
    sent(factories.fans(2, account=odd))
    earn(odd, "12")

    response: Any = api.get(PATH, {**MAY, "format": "csv", "limit": "1"})

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert "economics_2026-05-01_2026-05-31_by_account.csv" in response["Content-Disposition"]
    head, first, second, last = csv.reader(StringIO(b"".join(response.streaming_content).decode()))
    assert head[:4] == ["id", "name", "ai_cost", "messages_sent"]
    assert first == [str(odd.pk), "'=Лу́на, “x”", "3.00", "2", "1.50", "12.00", "9.00", "0.25", "USD"]
    assert second[2:] == ["0.0123456789", "0", "", "", "", "", "USD"]
    assert last[:4] == ["", "", "0.00", "0"]


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        ({"by": "fan"}, "by", "not a valid choice"),
        ({"from": "2026-05-02", "to": "2026-05-01"}, "to", "ends before it begins"),
        ({"from": "2099-01-01"}, "from", "Give `to` as well"),
        ({"from": "2024-01-01", "to": "2026-05-01"}, "from", "366 days at most"),
        ({"from": "0001-01-01", "to": "0001-01-01"}, "from", "Give a day from"),
        ({"order": "colour"}, "order", "Give one of: name"),
        ({"limit": "0"}, "limit", "greater than or equal to 1"),
        ({"limit": "1001"}, "limit", "less than or equal to 1000"),
        ({"offset": "-1"}, "offset", "greater than or equal to 0"),
        ({"format": "xml"}, "format", "not a valid choice"),
        ({"tenant": "all"}, "tenant", "there are: by, format, from"),
    ],
)
def test_what_can_not_be_answered_is_refused_by_name(
    api: APIClient, query: dict[str, str], field: str, words: str
) -> None:
    response = api.get(PATH, query)
    assert response.status_code == 400
    assert words in as_json(response)["error"]["fields"][field]


def test_whoever_may_only_read_may_read_this(analyst_api: APIClient) -> None:
    assert analyst_api.get(PATH).status_code == 200
    assert APIClient().get(PATH).status_code == 401


def test_the_statements_do_not_grow_with_the_rows(agency: Tenant, api: APIClient, price_id: int) -> None:
    counts = []
    for number in (1, 10):
        for _ in range(number):
            account = factories.account(tenant=agency)
            enter(row(agency, price_id, account_id=account.pk))
        with CaptureQueriesContext(connection) as captured:
            ask(api)
        counts.append(len(captured))
    assert counts[1] <= counts[0]


def test_a_campaigns_costs_are_by_model_and_message(
    agency: Tenant, api: APIClient, account: Account, campaign: Campaign, price_id: int
) -> None:
    url = f"/api/v2/campaigns/costs/{campaign.pk}"
    enter(
        row(agency, price_id, campaign_id=campaign.pk, amount=Decimal(1)),
        row(agency, price_id, campaign_id=campaign.pk, amount=Decimal(3), model="gpt-4o", provider="azure"),
    )
    answer = as_json(api.get(url))
    assert (answer["name"], answer["status"]) == ("Été", "planning")
    assert figures(answer) == ("4.00", 0, None, None, None, None)
    assert [(each["provider"], each["model"], each["cost"]["amount"]) for each in answer["by_model"]] == [
        ("azure", "gpt-4o", "3.00"),
        ("openai", "gpt-3.5-turbo", "1.00"),
    ]
    assert not any("display" in each for each in answer["by_model"])
    sent(factories.fans(8, account=account), outbox=campaign.outbox)
    earn(account, "40", campaign=campaign)
    assert figures(as_json(api.get(url))) == ("4.00", 8, "0.50", "40.00", "36.00", 0.1)
    assert api.get(url, {"by": "day"}).status_code == 400
    assert api.get("/api/v2/campaigns/costs/0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f").status_code == 404


def test_figures_are_shown_in_the_tenants_currency_at_the_last_days_rate(
    agency: Tenant, account: Account, api: APIClient, price_id: int
) -> None:
    """All at one: so costs and margin make the revenue in euros, too."""
    with system_transaction():
        choose_currency(tenant=agency, currency="EUR", without_rates=True)
        for day, per_usd in ((1, "2"), (20, "3")):
            ExchangeRate.objects.create(currency="EUR", date=date(2026, 5, day), per_usd=per_usd)
    enter(row(agency, price_id, account_id=account.pk, amount=Decimal(4)))
    earn(account, "10")
    unknown = {"cost_per_message": None, "revenue": None, "margin": None}

    answer = ask(api)
    response: Any = api.get(PATH, {**MAY, "format": "csv"})

    def euro(amount: str) -> dict[str, str]:
        return {"amount": amount, "currency": "EUR"}

    shown = {
        "ai_cost": euro("12.00"),
        "cost_per_message": None,
        "revenue": euro("30.00"),
        "margin": euro("18.00"),
    }
    assert (answer["display_currency"], answer["display_missing"]) == ("EUR", None)
    assert answer["results"][0]["display"] == answer["total"]["display"] == shown
    assert answer["unattributed"]["display"] == {"ai_cost": euro("0.00"), **unknown}
    assert ask(api, to="2026-05-19")["total"]["display"]["ai_cost"] == euro("8.00")
    head, first, _ = csv.reader(StringIO(b"".join(response.streaming_content).decode()))
    assert head[-5:] == [*(f"display_{name}" for name in shown), "display_currency"]
    assert first[-5:] == ["12.00", "", "30.00", "18.00", "EUR"]
