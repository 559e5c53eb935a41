"""The admin's lists in a real browser, with texts as long as real ones: all can be read at every width."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from apps.common.models import IdempotencyRecord
from apps.costs.models import Budget, BudgetCounter, Forecast, Hold
from apps.notifications.models import Alert, Delivery, NotificationTarget
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.common.admin_rows import add_rows
from tests.e2e.browser import NEEDED, Visit, overflow, picture

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True), NEEDED]

WIDTHS = [390, 768, 1024, 1280, 1440]
CAMPAIGN = "Spring greetings to everybody who has come back"
MESSAGE = (
    f"In shadow mode, the budget of 1,250.00 USD a month for the campaign “{CAMPAIGN}” would have refused "
    "1,204 calls of up to 310.25 USD since 2026-05-01."
)
ERROR = "It answered 503: upstream connect error or disconnect/reset before headers. reset reason: connection"
URL_ERROR = "hooks.example.com can't be looked up (Temporary failure in name resolution)"
AMOUNT = Decimal("12345.1279877902")
# The cells that hide a part of what they say.
_CLIPPED = """
    [...document.querySelectorAll('td, th')]
        .filter(cell => cell.scrollHeight > cell.clientHeight + 1 || cell.scrollWidth > cell.clientWidth + 1)
        .map(cell => `${cell.dataset.label}: ${cell.innerText}`)
"""
# The days that don't stand in one line.
_BROKEN = """
    [...document.querySelectorAll('.result-list .nowrap')].filter(cell => {
        const text = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT).nextNode();
        const at = text ? text.data.search(/\\d{4}-\\d\\d-\\d\\d/) : -1;
        if (at < 0) return false;
        const day = document.createRange();
        day.setStart(text, at);
        day.setEnd(text, at + 10);
        return day.getClientRects().length > 1;
    }).map(cell => `${cell.dataset.label}: a broken day`)
"""


@pytest.fixture
def agency() -> Tenant:
    return factories.tenant(name="Ada's agency for creators of the far north")


@pytest.fixture
def rows(agency: Tenant, operator: None) -> None:
    """Something in every list, and what is longest in those of alerts and deliveries."""
    add_rows(to=agency, by=factories.user(is_staff=True), number=1)
    campaign = factories.campaign(tenant=agency, accounts=[], name=CAMPAIGN)
    person = factories.user(tenant=agency, email="operator.number.59@northern-lights.example.com")
    now = timezone.now()
    of = {"tenant_id": agency.pk}
    with system_transaction():
        Budget.objects.create(**of, scope="campaign", scope_id=campaign.pk, limit="1250")
        budget = Budget.objects.create(**of, scope="user", scope_id=person.pk, limit="1250")
        shadow = {"shadow_calls": 1204, "shadow_amount": AMOUNT}
        BudgetCounter.objects.create(**of, budget=budget, period_start=now.date().replace(day=1), **shadow)
        Hold.objects.update(bound=AMOUNT)
        Forecast.objects.create(
            **of,
            made_on=now.date() + timedelta(days=1),
            made_at=now,
            month=now.date().replace(day=1),
            method="seasonal_naive",
            observed_days=60,
            **dict.fromkeys(("spent", "point", "low_80", "high_80", "low_95", "high_95"), AMOUNT),
        )
        said = {**of, "rule": "platform_breaker_open", "level": "critical", "message": MESSAGE}
        handled = {"acknowledged_at": now, "muted_until": now + timedelta(days=1)}
        Alert.objects.create(**said)
        alert = Alert.objects.create(**said, **handled, subject=str(campaign.pk))
        for channel, name, state, error in (
            ("email", "accounting-and-reporting@northern-lights.example.com", "sent", ""),
            ("slack", "#alerts-of-the-agency", "failed", ERROR),
            ("webhook", "Pager of whoever is on call", "pending", f"No connection: {URL_ERROR}."),
        ):
            address = name if channel == "email" else ""
            target = NotificationTarget.objects.create(**of, channel=channel, name=name, address=address)
            Delivery.objects.create(
                **of,
                alert=alert,
                destination=target,
                channel=channel,
                target=name,
                state=state,
                error=error,
                sent_at=now if state == "sent" else None,
            )


@pytest.fixture
def record(agency: Tenant, operator: None) -> IdempotencyRecord:
    url = (
        "https://api.northern-lights.example.com/api/v2/campaigns/status/0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f"
    )
    with system_transaction():
        return IdempotencyRecord.objects.create(
            tenant_id=agency.pk, key="first-campaign", request_hash="0" * 64, response={"status_url": url}
        )


def hidden(seen: Visit, width: int) -> list[str]:
    """What of the page's tables can't be read at this width without scrolling sideways."""
    seen.page.set_viewport_size({"width": width, "height": 900})
    seen.settle()
    clipped: list[str] = seen.page.evaluate(_CLIPPED) + seen.page.evaluate(_BROKEN)
    # Between cards and an ordinary screen, the last columns may be beyond its edge.
    wider = [] if width == 1024 else overflow(seen)
    return [*clipped, *(f"{pixels} pixels too wide" for pixels in wider)]


def test_all_of_any_lists_row_can_be_read_at_every_width(visiting: Callable[[], Visit], rows: None) -> None:
    seen = visiting()
    lists = [f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry]
    pages = {name: reverse(f"admin:{name}_changelist") for name in lists} | {"costs": reverse("admin_costs")}
    found = {}
    for name, url in pages.items():
        seen.open(url)
        for width in WIDTHS:
            if troubles := hidden(seen, width):
                found[f"{name} at {width}"] = troubles
            picture(seen, f"{name}-{width}")
    assert found == {}


def test_json_can_be_read_on_a_phone(visiting: Callable[[], Visit], record: IdempotencyRecord) -> None:
    seen = visiting()
    seen.page.set_viewport_size({"width": 390, "height": 844})
    seen.open(reverse("admin:common_idempotencyrecord_change", args=[record.pk]))
    assert overflow(seen) == []


@pytest.mark.parametrize(
    ("name", "column", "least"),
    [("notifications_alert", "message", 320), ("notifications_delivery", "error", 240)],
)
def test_sentences_have_room_on_a_small_screen(
    name: str, column: str, least: int, visiting: Callable[[], Visit], rows: None
) -> None:
    seen = visiting()
    seen.page.set_viewport_size({"width": 1280, "height": 800})
    seen.open(reverse(f"admin:{name}_changelist"))
    cell = seen.page.locator(f"#result_list td.field-{column}").first.bounding_box()
    assert cell is not None
    assert cell["width"] >= least
