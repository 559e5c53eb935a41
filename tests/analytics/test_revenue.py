"""Revenue that is told: by the API and by files, once, and of one's own accounts alone."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.test import APIClient

from apps.analytics import tenant_choice
from apps.analytics.models import RevenueEntry
from apps.analytics.services.revenue import Told, ToldOtherwiseError, record_revenue
from apps.campaigns.models import Campaign
from apps.common.ids import uuid7
from apps.messaging.models import Account
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.common.test_fuzz import AMOUNT, SETTINGS, TEXT, TIME, bodies, send
from tests.conftest import as_json, client_of
from tests.costs.rolled import enter, row
from tests.costs.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/v2/analytics/revenue"
AT = "2025-05-14T12:00:00Z"


@pytest.fixture
def campaign(agency: Tenant, account: Account) -> Campaign:
    return factories.campaign(tenant=agency, accounts=[account])


def entry(of: Account, **fields: Any) -> dict[str, Any]:
    return {"external_id": "tx-1", "account": str(of.pk), "occurred_at": AT, "amount": "12.00", **fields}


def tell(api: APIClient, *entries: dict[str, Any]) -> Any:
    return api.post(PATH, {"entries": list(entries)})


def stored() -> list[RevenueEntry]:
    with system_transaction():
        return list(RevenueEntry.objects.order_by("external_id"))


def test_what_is_told_is_entered_once(api: APIClient, account: Account) -> None:
    refund = entry(account, external_id="tx-2 “é”", amount="-2.5", kind="refund")
    answer = tell(api, entry(account), refund)
    assert (answer.status_code, as_json(answer)) == (201, {"created": 2, "known": 0})
    third = entry(account, external_id="tx-3")
    assert as_json(tell(api, refund, third, entry(account, amount="12"))) == {"created": 1, "known": 2}
    assert [(each.external_id, each.amount) for each in stored()] == [
        ("tx-1", 12),
        ("tx-2 “é”", Decimal("-2.5")),
        ("tx-3", 12),
    ]


def test_a_message_brings_its_campaign(
    agency: Tenant, api: APIClient, account: Account, campaign: Campaign
) -> None:
    fan = factories.fan(account=account)
    message = factories.message(fan=fan, outbox=campaign.outbox)
    single = factories.message(fan=factories.fan(account=account))
    tell(api, entry(account, message=str(message.pk)))
    tell(api, entry(account, external_id="tx-2", message=str(single.pk)))
    assert [(each.message_id, each.campaign_id) for each in stored()] == [
        (message.pk, campaign.pk),
        (single.pk, None),
    ]
    other = factories.campaign(tenant=agency, accounts=[account])
    refused = tell(api, entry(account, external_id="tx-3", message=str(message.pk), campaign=str(other.pk)))
    assert refused.status_code == 404
    assert as_json(refused)["error"]["fields"]["entries.0.campaign"] == "The message isn't of this campaign."


def test_what_is_told_again_is_known_though_its_message_has_gone(
    agency: Tenant, api: APIClient, account: Account, campaign: Campaign
) -> None:
    """The archive's months are dropped after a while; whoever reads a file again can't know."""
    message = factories.message(fan=factories.fan(account=account), outbox=campaign.outbox)
    told = entry(account, message=str(message.pk))
    tell(api, told)
    with system_transaction():
        message.delete()

    assert as_json(tell(api, told)) == {"created": 0, "known": 1}
    assert as_json(tell(api, {**told, "campaign": str(campaign.pk)})) == {"created": 0, "known": 1}
    assert tell(api, {**told, "amount": "13"}).status_code == 409
    assert tell(api, {**told, "external_id": "tx-2"}).status_code == 404


def test_an_entry_that_says_something_else_is_refused_and_all_with_it(
    api: APIClient, account: Account
) -> None:
    tell(api, entry(account))
    refused = tell(api, entry(account, external_id="tx-0"), entry(account, amount="13"))
    assert refused.status_code == 409
    error = as_json(refused)["error"]
    assert error["code"] == "revenue_told_otherwise"
    assert "another amount" in error["fields"]["entries.1.amount"]
    assert [each.external_id for each in stored()] == ["tx-1"]


@pytest.mark.parametrize("of", ["account", "campaign", "message"])
def test_what_is_another_tenants_is_not_there(
    api: APIClient, stranger: Tenant, account: Account, of: str
) -> None:
    theirs = factories.account(tenant=stranger)
    others = {
        "account": theirs,
        "campaign": factories.campaign(tenant=stranger, accounts=[theirs]),
        "message": factories.message(fan=factories.fan(account=theirs)),
    }
    for pk in (others[of].pk, uuid7()):
        refused = tell(api, entry(account, external_id="tx-0"), entry(account, **{of: str(pk)}))
        assert refused.status_code == 404
        assert f"entries.1.{of}" in as_json(refused)["error"]["fields"]
    assert stored() == []


def test_two_tenants_may_use_the_same_external_id(
    api: APIClient, stranger_api: APIClient, stranger: Tenant, account: Account
) -> None:
    theirs = factories.account(tenant=stranger)
    assert tell(api, entry(account)).status_code == 201
    assert tell(stranger_api, entry(theirs)).status_code == 201
    assert len(as_json(api.get(PATH))["results"]) == 1
    assert as_json(stranger_api.get(PATH))["results"][0]["account"] == str(theirs.pk)


def test_two_who_tell_the_same_at_once_enter_it_once(agency: Tenant, account: Account) -> None:
    told = [
        Told(f"tx-{number}", account.pk, datetime(2026, 5, 14, tzinfo=UTC), Decimal(1), "purchase")
        for number in range(50)
    ]

    def record(index: int) -> int:
        with tenant_transaction(agency):
            return record_revenue(tenant_id=agency.pk, told=told[:: -1 if index % 2 else 1]).created

    assert sum(at_once(4, record)) == 50
    assert len(stored()) == 50


def test_two_who_tell_it_differently_at_once_agree_on_one(agency: Tenant, account: Account) -> None:
    def record(index: int) -> bool:
        told = Told("tx", account.pk, datetime(2026, 5, 14, tzinfo=UTC), Decimal(index + 1), "tip")
        try:
            with tenant_transaction(agency):
                return record_revenue(tenant_id=agency.pk, told=[told]).created == 1
        except ToldOtherwiseError:
            return False

    assert sorted(at_once(3, record)) == [False, False, True]


@pytest.mark.parametrize(
    ("fields", "where", "words"),
    [
        ({"amount": "0"}, "amount", "above zero"),
        ({"amount": "-1"}, "amount", "of the kind refund"),
        ({"amount": "1", "kind": "refund"}, "amount", "below zero"),
        ({"amount": "1.00001"}, "amount", "no more than 4 decimal places"),
        ({"amount": {"amount": "1.00001", "currency": "USD"}}, "amount", "no more than 4 decimal places"),
        ({"amount": {"amount": "-1", "currency": "USD"}}, "amount", "of the kind refund"),
        ({"amount": {"amount": "1", "currency": "EUR"}}, "amount", "has to be USD"),
        ({"amount": {"amount": "1"}}, "amount", "just amount and currency"),
        ({"amount": {"amount": "1", "currency": "USD", "cents": 1}}, "amount", "just amount and currency"),
        ({"amount": {"amount": ["1"], "currency": "USD"}}, "amount", "valid number"),
        ({"amount": ["1"]}, "amount", "valid number"),
        ({"kind": "gift"}, "kind", "not a valid choice"),
        ({"currency": "EUR"}, "currency", "not a valid choice"),
        ({"occurred_at": "0001-01-01T00:00:00Z"}, "occurred_at", "Give a time from 2000"),
        ({"external_id": ""}, "external_id", "may not be blank"),
        ({"colour": "red"}, "colour", "unknown; there are: account"),
    ],
)
def test_what_can_not_be_is_refused_by_name(
    api: APIClient, account: Account, fields: dict[str, Any], where: str, words: str
) -> None:
    refused = tell(api, entry(account), entry(account, **{"external_id": "tx-2", **fields}))
    assert refused.status_code == 400
    assert words in as_json(refused)["error"]["fields"][f"entries.1.{where}"]


def test_an_amount_may_be_money_as_answers_have_it(api: APIClient, account: Account) -> None:
    tell(api, entry(account))
    (listed,) = as_json(api.get(PATH))["results"]

    again = tell(api, entry(account, amount=listed["amount"]))

    assert (again.status_code, as_json(again)) == (201, {"created": 0, "known": 1})


@pytest.mark.parametrize(("ahead", "status"), [(timedelta(minutes=4), 201), (timedelta(minutes=6), 400)])
def test_what_is_told_of_the_future_is_refused_but_for_a_clock_that_is_ahead(
    api: APIClient, account: Account, ahead: timedelta, status: int
) -> None:
    answer = tell(api, entry(account, occurred_at=(timezone.now() + ahead).isoformat()))

    assert answer.status_code == status
    if status == 400:
        assert (
            "It lies in the future: it is 20" in as_json(answer)["error"]["fields"]["entries.0.occurred_at"]
        )
        assert stored() == []


def test_a_batch_has_from_one_to_a_thousand_different_entries(api: APIClient, account: Account) -> None:
    assert tell(api).status_code == 400
    many = [entry(account, external_id=f"tx-{number}") for number in range(1001)]
    assert tell(api, *many).status_code == 400
    assert as_json(tell(api, *many[:1000])) == {"created": 1000, "known": 0}
    twins = as_json(tell(api, entry(account), entry(account)))
    assert "also that of entry 0" in twins["error"]["fields"]["entries.1.external_id"]


def test_an_idempotency_key_gets_the_same_answer(api: APIClient, account: Account) -> None:
    headers = {"Idempotency-Key": "once"}
    first = api.post(PATH, {"entries": [entry(account)]}, headers=headers)
    again = api.post(PATH, {"entries": [entry(account)]}, headers=headers)
    assert as_json(first) == as_json(again) == {"created": 1, "known": 0}
    assert again["Idempotency-Replayed"] == "true"


def test_who_may_tell_and_who_may_read(agency: Tenant, account: Account) -> None:
    assert tell(client_of(agency, Role.ANALYST), entry(account)).status_code == 403
    assert tell(client_of(agency, Role.CREATOR), entry(account)).status_code == 403
    assert tell(client_of(agency, Role.MANAGER), entry(account)).status_code == 201
    assert client_of(agency, Role.ANALYST).get(PATH).status_code == 200
    assert APIClient().get(PATH).status_code == 401


def test_the_list_is_filtered_and_refuses_what_it_does_not_know(api: APIClient, account: Account) -> None:
    tell(api, entry(account), entry(account, external_id="tx-2", kind="tip"))
    (only,) = as_json(api.get(PATH, {"kind": "tip"}))["results"]
    assert (only["external_id"], only["amount"]) == ("tx-2", {"amount": "12.00", "currency": "USD"})
    assert len(as_json(api.get(PATH, {"account": str(account.pk), "limit": "1"}))["results"]) == 1
    assert api.get(PATH, {"colour": "red"}).status_code == 400


@SETTINGS
@given(
    body=st.lists(
        bodies({"external_id": TEXT, "occurred_at": TIME | st.just(AT), "amount": AMOUNT, "kind": TEXT}),
        max_size=3,
    )
)
def test_whatever_is_told_is_answered(body: list[Any], api: APIClient, account: Account) -> None:
    full = [{**entry(account), **each} if isinstance(each, dict) else each for each in body]
    send(api, "POST", PATH, {"entries": full})


def test_the_database_takes_no_revenue_that_can_not_be(account: Account) -> None:
    fields = {"tenant_id": account.tenant_id, "account": account, "occurred_at": AT, "external_id": "x"}
    for wrong in ({"amount": 0}, {"amount": 1, "kind": "refund"}, {"amount": 1, "currency": "EUR"}):
        with pytest.raises(IntegrityError), system_transaction():
            RevenueEntry.objects.create(**fields, **wrong)


def run(agency: Tenant, path: Path) -> str:
    out = StringIO()
    call_command("import_revenue", str(agency.pk), str(path), stdout=out)
    return out.getvalue()


def test_a_file_is_entered_and_may_be_read_again(agency: Tenant, account: Account, tmp_path: Path) -> None:
    path = tmp_path / "revenue.csv"
    lines = [f"tx-{number},{account.pk},{AT},1.50,,tip" for number in range(1500)]
    path.write_text("\ufeffexternal_id,account,occurred_at,amount,campaign,kind\n" + "\n".join(lines[:1200]))
    assert run(agency, path) == "New entries: 1,200. Known before: 0.\n"
    path.write_text("external_id,account,occurred_at,amount,campaign,kind\n" + "\n".join(lines))
    assert run(agency, path) == "New entries: 300. Known before: 1,200.\n"
    assert len(stored()) == 1500


HEADER = "external_id,account,occurred_at,amount\n"


def test_what_a_file_says_twice_is_entered_once_however_far_apart(
    agency: Tenant, account: Account, tmp_path: Path
) -> None:
    path = tmp_path / "revenue.csv"
    lines = [f"tx-{number},{account.pk},{AT},1.50\n" for number in range(1200)]
    path.write_text("".join([HEADER, *lines, lines[1199], lines[0], f"tx-0,{account.pk},{AT},1.5000\n"]))

    assert run(agency, path) == (
        "New entries: 1,200. Known before: 0. Repeated in the file, and entered once: 3.\n"
    )
    assert run(agency, path) == (
        "New entries: 0. Known before: 1,200. Repeated in the file, and entered once: 3.\n"
    )
    assert len(stored()) == 1200


def test_a_file_that_contradicts_itself_enters_nothing(
    agency: Tenant, account: Account, tmp_path: Path
) -> None:
    path = tmp_path / "revenue.csv"
    lines = [f"tx-{number},{account.pk},{AT},1.50\n" for number in range(1200)]
    path.write_text("".join([HEADER, *lines, f"tx-0,{account.pk},{AT},1.51\n"]))

    with pytest.raises(CommandError, match="Line 1202: “tx-0” is also that of line 2, which says something"):
        run(agency, path)

    assert stored() == []


def test_a_file_that_contradicts_what_was_told_says_how_far_it_came(
    agency: Tenant, account: Account, tmp_path: Path
) -> None:
    path = tmp_path / "revenue.csv"
    path.write_text(f"{HEADER}tx-1100,{account.pk},{AT},1.51\n")
    run(agency, path)
    lines = [f"tx-{number},{account.pk},{AT},1.50\n" for number in range(1200)]
    path.write_text("".join([HEADER, *lines]))

    with pytest.raises(CommandError, match=r"(?s)Line 1102: .*another amount.*before that: 1,000\."):
        run(agency, path)

    assert len(stored()) == 1001


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER + "tx,{account},2100-01-01T00:00:00Z,1\n", "Line 2: occurred_at: It lies in the future"),
        ("external_id,colour\n1,red\n", "“colour” is unknown"),
        ("external_id,account,occurred_at,amount\ntx,{account},yesterday,1\n", "Line 2: occurred_at"),
        ("external_id,account,occurred_at,amount\ntx,{account},2025-05-14T00:00:00Z,1,9\n", "too many cells"),
        ('external_id,account,occurred_at,amount\n"tx,{account}\n', "Line 2"),
        (
            "external_id,account,occurred_at,amount\ntx,{other},2025-05-14T00:00:00Z,1\n",
            "Line 2: There is no",
        ),
    ],
)
def test_a_file_that_can_not_be_is_refused_by_its_lines(
    agency: Tenant, account: Account, tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "revenue.csv"
    path.write_text(text.format(account=account.pk, other=uuid7()))
    with pytest.raises(CommandError, match=words):
        run(agency, path)
    assert stored() == []


def test_the_command_says_what_it_can_not_find(agency: Tenant, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        run(agency, tmp_path / "none.csv")
    with pytest.raises(CommandError, match="no tenant"):
        call_command("import_revenue", "nobody's", str(tmp_path))
    path = tmp_path / "latin.csv"
    path.write_bytes(b"external_id,\xe9\n")
    with pytest.raises(CommandError, match="isn't UTF-8"):
        run(agency, path)


def test_the_page_economics_shows_a_tenants_month(
    client: Client, agency: Tenant, stranger: Tenant, account: Account, api: APIClient
) -> None:
    url = reverse("admin:analytics_economics")
    client.force_login(factories.user(is_staff=True))
    assert client.get(url).status_code == 403
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    assert "it is unknown, not zero" in client.get(url).content.decode()
    now = datetime.now(UTC)
    tell(api, entry(account, occurred_at=now.isoformat(), amount="1234.50"))
    cost = Decimal("0.1234567891")
    enter(row(agency, factories.price().pk, account_id=account.pk, occurred_at=now, amount=cost))
    text = client.get(url, {"tenant": str(agency.pk)}).content.decode()
    assert account.name in text
    assert "1,234.50" in text
    assert "1,234.38" in text  # the margin
    assert "0.1235" in text
    assert "0.12345" not in text
    assert "of no campaign" in text
    other = client.get(url, {"tenant": str(stranger.pk)}).content.decode()
    assert "Nothing was asked of the AI" in other
    assert account.name not in other


@pytest.mark.parametrize("wanted", ["01890000-0000-7000-8000-000000000000", "Ada"])
def test_the_page_economics_refuses_a_tenant_that_is_none(
    client: Client, agency: Tenant, wanted: str
) -> None:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    answer = client.get(reverse("admin:analytics_economics"), {"tenant": wanted})
    assert answer.status_code == 400
    text = answer.content.decode()
    assert f"There is no tenant “{wanted}”: choose one from the list." in text
    assert str(agency.pk) in text
    assert "By account" not in text


def test_the_page_economics_finds_one_of_many_tenants(
    client: Client, agency: Tenant, stranger: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    url = reverse("admin:analytics_economics")
    monkeypatch.setattr(tenant_choice, "TENANTS", 1)

    first = client.get(url).content.decode()
    found = client.get(url, {"find": "eve"}).content.decode()
    none = client.get(url, {"find": "nobody"})

    assert str(stranger.pk) not in first
    assert "The list has the first 1 by name." in first
    assert f'value="{stranger.pk}" selected' in found
    assert none.status_code == 400
    assert "No tenant has “nobody” in its name" in none.content.decode()


def test_the_page_economics_without_a_tenant_says_how_to_make_one(client: Client) -> None:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    assert "create_tenant" in client.get(reverse("admin:analytics_economics")).content.decode()
