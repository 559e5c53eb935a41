"""The admin's lists in a real browser, with texts as long as real ones: all can be read at every width."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.costs.models import Budget
from apps.notifications.models import Alert, Delivery, NotificationTarget
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction
from tests import factories
from tests.common.admin_rows import add_rows
from tests.e2e.browser import NEEDED, Visit, overflow, picture

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True), NEEDED]

WIDTHS = [390, 768, 1024, 1280, 1440]
LISTS = [
    "ai_breakerchange",
    "ai_deployment",
    "ai_generation",
    "ai_recommendation",
    "ai_replay",
    "ai_replayitem",
    "costs_budget",
    "costs_ledgerentry",
    "costs_price",
    "costs_usagedifference",
    "notifications_alert",
    "notifications_delivery",
]
CAMPAIGN = "Spring greetings to everybody who has come back"
MESSAGE = (
    f"In shadow mode, the budget of 1,250.00 USD a month for the campaign “{CAMPAIGN}” would have refused "
    "1,204 calls of up to 310.25 USD since 2026-05-01."
)
ERROR = "It answered 503: upstream connect error or disconnect/reset before headers. reset reason: connection"
URL_ERROR = "hooks.example.com can't be looked up (Temporary failure in name resolution)"
# The cells that hide a part of what they say.
_CLIPPED = """
    [...document.querySelectorAll('td, th')]
        .filter(cell => cell.scrollHeight > cell.clientHeight + 1 || cell.scrollWidth > cell.clientWidth + 1)
        .map(cell => `${cell.dataset.label}: ${cell.innerText}`)
"""


@pytest.fixture
def agency() -> Tenant:
    return factories.tenant(name="Ada's agency for creators of the far north")


@pytest.fixture
def rows(agency: Tenant, operator: None) -> None:
    """Something in every list, and what is longest in those of alerts and deliveries."""
    add_rows(to=agency, by=factories.user(is_staff=True), number=1)
    campaign = factories.campaign(tenant=agency, accounts=[], name=CAMPAIGN)
    now = timezone.now()
    of = {"tenant_id": agency.pk}
    with system_transaction():
        Budget.objects.create(**of, scope="campaign", scope_id=campaign.pk, limit="1250")
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


def hidden(seen: Visit, width: int) -> list[str]:
    """What of the page's tables can't be read at this width without scrolling sideways."""
    seen.page.set_viewport_size({"width": width, "height": 900})
    clipped: list[str] = seen.page.evaluate(_CLIPPED)
    # Between cards and an ordinary screen, the last columns may be beyond its edge.
    wider = [] if width == 1024 else overflow(seen)
    return [*clipped, *(f"{pixels} pixels too wide" for pixels in wider)]


def test_all_of_a_row_can_be_read_at_every_width(visiting: Callable[[], Visit], rows: None) -> None:
    seen = visiting()
    pages = {name: reverse(f"admin:{name}_changelist") for name in LISTS} | {"costs": reverse("admin_costs")}
    found = {}
    for name, url in pages.items():
        seen.open(url)
        for width in WIDTHS:
            if troubles := hidden(seen, width):
                found[f"{name} at {width}"] = troubles
            picture(seen, f"{name}-{width}")
    assert found == {}


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
