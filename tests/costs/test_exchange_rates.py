"""Rates of exchange as rows: imported, entered, and chosen."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.messages import get_messages
from django.core.management import CommandError, call_command
from django.db import IntegrityError, ProgrammingError
from django.test import Client
from django.urls import reverse

from apps.costs.exchange_files import ReadRate
from apps.costs.models import ExchangeRate
from apps.costs.services.currencies import conversion_for, import_rates
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.costs.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)

HEAD = "date,currency,rate\n"


def rate(day: date, per_usd: str, currency: str = "EUR") -> ExchangeRate:
    with system_transaction():
        return ExchangeRate.objects.create(currency=currency, date=day, per_usd=per_usd)


def rows() -> list[tuple[str, str, str, str]]:
    with system_transaction():
        return [
            (each.currency, f"{each.date}", f"{each.per_usd.normalize():f}", each.source)
            for each in ExchangeRate.objects.order_by("date", "currency")
        ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rates.csv"


def run(file: Path, *options: str) -> str:
    said = StringIO()
    call_command("import_exchange_rates", str(file), *options, stdout=said)
    return said.getvalue()


def test_a_file_is_imported_once_however_often_it_is(file: Path) -> None:
    file.write_text(f"\ufeff{HEAD}2026-05-01,EUR,0.92\n2026-05-02,EUR,0.93\n", encoding="utf-8")

    assert run(file, "--source", "a bank") == "2 rates entered, 0 replaced, 0 were there already.\n"
    assert run(file) == "0 rates entered, 0 replaced, 2 were there already.\n"
    assert rows() == [("EUR", "2026-05-01", "0.92", "a bank"), ("EUR", "2026-05-02", "0.93", "a bank")]


def test_another_rate_of_a_day_is_told_and_only_replaced_if_asked(file: Path) -> None:
    rate(date(2026, 5, 2), "0.95")
    file.write_text(f"{HEAD}2026-05-01,EUR,0.92\n2026-05-02,EUR,0.93\n")

    with pytest.raises(CommandError, match=r"line 3: EUR from 2026-05-02 is entered at 0\.95"):
        run(file)
    assert rows() == [("EUR", "2026-05-02", "0.95", "")]
    assert run(file, "--replace") == "1 rates entered, 1 replaced, 0 were there already.\n"
    assert rows() == [("EUR", "2026-05-01", "0.92", "rates.csv"), ("EUR", "2026-05-02", "0.93", "rates.csv")]


def test_of_a_file_with_mistakes_nothing_is_entered_and_the_first_are_told(file: Path) -> None:
    bad = "".join(f"2026-05-{day:02},EUR,nothing\n" for day in range(1, 31))
    file.write_text(f"{HEAD}2026-04-01,EUR,0.92\n{bad}")

    with pytest.raises(CommandError) as refused:
        run(file)

    lines = str(refused.value).splitlines()
    assert len(lines) == 22
    assert (lines[1].strip()[:7], lines[-1].strip()) == ("line 3:", "… and 10 more")
    assert rows() == []


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "can't be read"), (b"\xff\xfe\x00", "no text in UTF-8"), (b"", "has to begin")],
)
def test_a_file_that_is_none_is_refused(file: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CommandError, match=words):
        run(file)


def test_two_imports_at_once_enter_each_rate_once() -> None:
    rates = [
        ReadRate(step, "EUR", date(2020, 1, 1) + timedelta(days=step), Decimal("0.9")) for step in range(50)
    ]

    def enter(_: int) -> tuple[int, int]:
        with system_transaction():
            done = import_rates(rates=rates, source="")
        return done.entered, done.unchanged

    assert sorted(at_once(4, enter)) == [(0, 50), (0, 50), (0, 50), (50, 0)]


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"currency": "USD"}, "of_another_currency"),
        ({"currency": "eur"}, "of_another_currency"),
        ({"currency": ""}, "of_another_currency"),
        ({"per_usd": "0"}, "possible"),
        ({"per_usd": "-1"}, "possible"),
        ({"per_usd": "1000000001"}, "possible"),
    ],
)
def test_a_rate_that_can_not_be_is_refused(fields: dict[str, str], constraint: str) -> None:
    values = {"currency": "EUR", "date": date(2026, 5, 1), "per_usd": "1", **fields}
    with pytest.raises(IntegrityError, match=f"exchangerate_{constraint}"), system_transaction():
        ExchangeRate.objects.create(**values)


def test_a_day_has_one_rate_of_a_currency() -> None:
    rate(date(2026, 5, 1), "1")
    rate(date(2026, 5, 1), "1", currency="GBP")
    with pytest.raises(IntegrityError, match="exchangerate_unique"):
        rate(date(2026, 5, 1), "2")


def test_tenants_read_rates_and_write_none(agency: Tenant) -> None:
    rate(date(2026, 5, 1), "1")
    with tenant_transaction(agency):
        assert ExchangeRate.objects.count() == 1
    with pytest.raises(ProgrammingError, match="permission denied"), tenant_transaction(agency):
        ExchangeRate.objects.all().delete()


def test_the_rates_that_are_read_begin_with_the_last_before_the_range() -> None:
    for day, per_usd in ((1, "1"), (5, "2"), (10, "3"), (20, "4")):
        rate(date(2026, 5, day), per_usd)
    rate(date(2026, 5, 9), "9", currency="GBP")
    with system_transaction():
        found = conversion_for(
            currency="EUR", since=date(2026, 5, 8), until=date(2026, 5, 12), present_month=date(2026, 5, 1)
        )
        none = conversion_for(
            currency="USD", since=date(2026, 5, 8), until=date(2026, 5, 12), present_month=date(2026, 5, 1)
        )
    assert none is None
    assert found is not None
    assert [found.days[date(2026, 5, day)] for day in range(8, 13)] == [2, 2, 3, 3, 3]


def test_a_currency_is_chosen_by_command(agency: Tenant) -> None:
    said, warned = StringIO(), StringIO()
    with pytest.raises(CommandError, match=r"no rate of EUR.*--without-rates"):
        call_command("set_display_currency", agency.name, "EUR", stdout=said)
    with system_transaction():
        agency.refresh_from_db()
    assert (agency.currency, said.getvalue()) == ("USD", "")

    call_command("set_display_currency", agency.name, "EUR", "--without-rates", stdout=said, stderr=warned)
    assert said.getvalue() == "Ada's agency sees its costs in EUR.\n"
    assert "no rate of EUR yet" in warned.getvalue()

    rate(date(2026, 5, 1), "1")
    warned = StringIO()
    call_command("set_display_currency", str(agency.pk), "EUR", stdout=said, stderr=warned)
    assert warned.getvalue() == ""
    with system_transaction():
        agency.refresh_from_db()
    assert agency.currency == "EUR"


@pytest.mark.parametrize("currency", ["eur", "EURO", "€", "", "EUR\n", "ÉUR"])
def test_what_is_no_currency_is_refused(agency: Tenant, currency: str) -> None:
    with pytest.raises(CommandError, match="is no currency"):
        call_command("set_display_currency", agency.name, currency)
    with pytest.raises(CommandError, match="no tenant"):
        call_command("set_display_currency", "nobody's", "EUR")


def test_a_currency_without_a_rate_is_refused_with_those_that_have_one(agency: Tenant) -> None:
    for currency in ("GBP", "EUR"):
        rate(date(2026, 5, 1), "1", currency=currency)
    with pytest.raises(CommandError, match="There is no rate of XQQ; there are rates of EUR, GBP"):
        call_command("set_display_currency", agency.name, "XQQ")
    call_command("set_display_currency", agency.name, "USD", stdout=StringIO())


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    return client


def test_the_admin_offers_the_currencies_that_are_in_use_those_with_rates_first(
    browser: Client, agency: Tenant
) -> None:
    rate(date(2026, 5, 1), "0.9", currency="GBP")
    with system_transaction():
        Tenant.objects.filter(pk=agency.pk).update(currency="XQQ")
    form = browser.get(reverse("admin:tenants_tenant_change", args=[agency.pk])).context["adminform"].form
    shown, others = ([code for code, _ in codes] for _, codes in form.fields["currency"].widget.choices)
    assert shown == ["GBP", "USD"]
    assert {"EUR", "JPY", "XQQ"} < set(others)
    assert "GBP" not in others


def test_who_may_only_look_at_tenants_sees_their_currency(client: Client, agency: Tenant) -> None:
    looker = factories.user(email="bea@example.com", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_tenant"))
    client.force_login(looker)
    answer = client.get(reverse("admin:tenants_tenant_change", args=[agency.pk]))
    assert (answer.status_code, "USD" in answer.content.decode()) == (200, True)


def test_a_currency_is_chosen_in_the_admin_and_its_lack_of_rates_is_told(
    browser: Client, agency: Tenant
) -> None:
    def choose(currency: str) -> Any:
        inline = {f"memberships-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL")}
        fields = {"name": agency.name, "time_zone": "UTC", "currency": currency, **inline}
        return browser.post(reverse("admin:tenants_tenant_change", args=[agency.pk]), fields)

    assert "Three capital letters" in choose("eur").content.decode()
    answer = choose("EUR")

    assert answer.status_code == 302
    told = [str(each) for each in get_messages(answer.wsgi_request)]
    assert any("no exchange rate of EUR yet" in each for each in told)
    with system_transaction():
        agency.refresh_from_db()
    assert agency.currency == "EUR"


def test_a_rate_is_entered_corrected_and_deleted_in_the_admin(browser: Client) -> None:
    fields = {"currency": "EUR", "date": "2026-05-01", "per_usd": "0.92", "source": "a bank"}
    add = reverse("admin:costs_exchangerate_add")
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)

    for changes, words in (
        ({"date": f"{tomorrow}"}, "still to come"),
        ({"currency": "usd"}, "Three capital letters"),
        ({"currency": "USD"}, "The ledger is in USD"),
        ({"per_usd": "0"}, "greater than or equal to"),
    ):
        assert words in browser.post(add, {**fields, **changes}).content.decode()
    assert rows() == []
    assert browser.post(add, fields).status_code == 302
    assert "has a rate of that day" in browser.post(add, fields).content.decode()
    with system_transaction():
        row = ExchangeRate.objects.get()
    browser.post(reverse("admin:costs_exchangerate_change", args=[row.pk]), {**fields, "per_usd": "0.93"})
    assert rows() == [("EUR", "2026-05-01", "0.93", "a bank")]
    browser.post(reverse("admin:costs_exchangerate_delete", args=[row.pk]), {"post": "yes"})
    assert rows() == []
