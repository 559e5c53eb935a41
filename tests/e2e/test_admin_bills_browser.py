"""A provider's bill, uploaded in a real browser: refused with what is wrong, compared, and corrected."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.urls import reverse
from playwright.sync_api import FilePayload

from apps.tenants.models import Tenant
from tests.costs.bills import HEAD, lose
from tests.costs.rolled import make_partitions
from tests.costs.spending import MODEL, dollar_price
from tests.e2e.browser import NEEDED, Visit, overflow, picture

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True), NEEDED]

LIST = "admin:costs_usageimport_changelist"
ADD = "admin:costs_usageimport_add"
DIFFERENCES = "admin:costs_usagedifference_changelist"


@pytest.fixture
def lost(agency: Tenant) -> None:
    """A call whose usage nobody knows: the ledger has its bound."""
    make_partitions()
    dollar_price()
    lose(agency, 30, datetime(2026, 5, 14, 12, tzinfo=UTC))


def upload(seen: Visit, *lines: str) -> None:
    data = (HEAD + "".join(f"{line}\n" for line in lines)).encode()
    file = FilePayload(name="May “1”.csv", mimeType="text/csv", buffer=data)
    seen.page.set_input_files("#id_file", file)
    seen.page.click("button[name=_save], input[name=_save]")
    seen.settle()


def test_without_a_bill_the_list_says_what_to_do(visiting: Callable[[], Visit]) -> None:
    seen = visiting()
    seen.open(reverse(LIST))
    assert seen.page.locator("text=Add a provider's usage export").count() == 1
    picture(seen, "bills-nothing-light")
    assert seen.troubles == []


def test_a_bill_is_uploaded_looked_at_and_corrected(visiting: Callable[[], Visit], lost: None) -> None:
    seen = visiting()
    seen.open(reverse(ADD))
    picture(seen, "bills-form-light")
    upload(seen, f"2026-05-14,{MODEL},1,twelve,0,0,12", f"never,{MODEL},1,12,0,0,12")
    assert seen.page.locator("text=Line 2:").count() == seen.page.locator("text=Line 3:").count() == 1
    picture(seen, "bills-refused-light")

    upload(seen, f"2026-05-14,{MODEL},1,12,0,0,12")
    seen.page.wait_for_selector("#result_list >> text=May “1”.csv")
    picture(seen, "bills-list-light")
    assert overflow(seen) == []
    seen.page.click("#result_list a:has-text('differences')")
    seen.page.wait_for_selector("text=+150.0 %")
    picture(seen, "bills-differences-light")

    seen.open(reverse(LIST))
    seen.page.click("#result_list a:has-text('May “1”.csv')")
    seen.page.click("a:has-text('Correct the estimates')")
    picture(seen, "bills-dialog-light")
    seen.page.click("#dialog button[type=submit]")
    seen.page.wait_for_selector("text=The corrections are planned")
    picture(seen, "bills-corrected-light")
    assert seen.troubles == []
