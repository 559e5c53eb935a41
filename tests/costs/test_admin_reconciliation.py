"""The operator's way with a bill: upload it, look at what differs, correct."""

from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.urls import reverse

from apps.costs.models import ImportState, UsageDifference, UsageImport
from apps.costs.services import corrections, usage_imports
from apps.tenants.models import Tenant, User
from apps.tenants.system import system_transaction
from tests import factories
from tests.costs.bills import HEAD, lose
from tests.costs.rolled import make_partitions
from tests.costs.spending import MODEL, dollar_price, entries

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 5, 14, 12, tzinfo=UTC)
LIST = "admin:costs_usageimport_changelist"
ADD = "admin:costs_usageimport_add"


@pytest.fixture
def operator() -> User:
    return factories.user(email="ada@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(operator: User, client: Client) -> Client:
    client.force_login(operator)
    return client


def upload(browser: Client, data: bytes, name: str = "März “1”.csv") -> Any:
    file = SimpleUploadedFile(name, data, content_type="text/csv")
    return browser.post(reverse(ADD), {"provider": "openai", "file": file}, follow=True)


def test_a_bill_is_uploaded_compared_and_corrected(browser: Client, operator: User, agency: Tenant) -> None:
    make_partitions()
    dollar_price()
    lose(agency, 30, NOON)

    answer = upload(browser, f"{HEAD}2026-05-14,{MODEL},1,12,0,0,12\n".encode())

    assert answer.redirect_chain
    with system_transaction():
        made = UsageImport.objects.get()
    assert (made.file_name, made.uploaded_by, made.state) == ("März “1”.csv", operator.pk, "imported")
    page = browser.get(reverse("admin:costs_usagedifference_changelist"), {"state__exact": "different"})
    assert MODEL in page.content.decode()
    assert "+150.0 %" in page.content.decode()
    browser.post(
        reverse(LIST), {"action": "correct_estimates", "_selected_action": [str(made.pk)]}, follow=True
    )
    with system_transaction():
        assert UsageImport.objects.get().state == ImportState.CORRECTING
    assert corrections.enter_corrections(now=NOON + timedelta(days=200)) == 1
    assert [row.amount for row in entries(agency)] == [30, -18]
    again = browser.post(
        reverse(LIST), {"action": "correct_estimates", "_selected_action": [str(made.pk)]}, follow=True
    )
    assert "nothing to correct" in again.content.decode()
    shown = browser.get(reverse("admin:costs_usageimport_change", args=[made.pk]))
    assert f">{operator.email}</a>" in shown.content.decode()


def test_what_is_wrong_with_a_file_stands_beside_it(browser: Client) -> None:
    answer = upload(browser, f"{HEAD}never,x,1,1,0,0,1\n2026-05-14,x,1,1,0,0,one\n".encode())
    text = answer.content.decode()
    assert "Line 2:" in text
    assert "Line 3:" in text
    assert answer.status_code == 200
    with system_transaction():
        assert not UsageImport.objects.exists()


def test_the_same_file_is_refused(browser: Client) -> None:
    data = f"{HEAD}2026-05-14,x,1,1,0,0,1\n".encode()
    upload(browser, data)
    assert "This very file was imported" in upload(browser, data, "other.csv").content.decode()
    with system_transaction():
        assert UsageImport.objects.count() == UsageDifference.objects.count() == 1


def test_whoever_may_only_look_neither_uploads_nor_corrects(client: Client) -> None:
    client.force_login(factories.user(is_staff=True))
    assert client.get(reverse(ADD)).status_code == 403
    assert client.get(reverse(LIST)).status_code == 403


def test_without_a_provider_a_file_is_asked_for_one(browser: Client) -> None:
    file = SimpleUploadedFile("bill.csv", f"{HEAD}2026-05-14,x,1,1,0,0,1\n".encode())
    answer = browser.post(reverse(ADD), {"file": file})
    assert answer.status_code == 200
    assert "This field is required" in answer.content.decode()


def test_a_long_file_may_be_read_for_longer_than_transactions_idle(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty megabytes of short lines take more than the ten seconds that others have."""
    real, allowed = usage_imports._read, []

    def read(file: BinaryIO) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SHOW idle_in_transaction_session_timeout")
            allowed.append(cursor.fetchone()[0])
        return real(file)

    monkeypatch.setattr(usage_imports, "_read", read)
    upload(browser, f"{HEAD}2026-05-14,x,1,1,0,0,1\n".encode())
    assert allowed == ["3min"]
