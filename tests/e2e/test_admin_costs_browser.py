"""The admin's page Costs in a real browser: with no data, a day's, a year's, its charts are drawn."""

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.tenants.models import Tenant
from tests import factories
from tests.analytics.spending import a_year, partitions, spend, stop_the_clock
from tests.e2e.browser import NEEDED, Visit, overflow, picture

pytestmark = [pytest.mark.long, pytest.mark.django_db(transaction=True), NEEDED]

# For each canvas, the share of its pixels that aren't empty, and how many colours they have.
_INK = """
canvases => canvases.map(canvas => {
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    const colours = new Set();
    let drawn = 0;
    for (let at = 0; at < pixels.length; at += 4) {
        if (pixels[at + 3] > 0) drawn += 1;
        if (pixels[at + 3] === 255) colours.add(pixels[at] + ',' + pixels[at + 1] + ',' + pixels[at + 2]);
    }
    return {share: drawn / (pixels.length / 4), colours: [...colours]};
})
"""
_AZURE, _OPENAI, _LIMIT = "0,114,178", "230,159,0", "220,38,38"


def ink(seen: Visit) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = seen.page.eval_on_selector_all("canvas.chart", _INK)
    return found


def test_with_no_data_it_says_so_in_words(visiting: Callable[[], Visit], agency: Tenant) -> None:
    seen = visiting()
    seen.open(reverse("admin_costs"))
    assert seen.page.locator("text=Nothing was spent in these days.").count() == 1
    assert ink(seen) == []
    picture(seen, "nothing-light")
    assert seen.troubles == []


def test_with_a_days_data_both_charts_are_drawn(visiting: Callable[[], Visit], agency: Tenant) -> None:
    today = timezone.now().date()
    partitions(today, days=1)
    spend(agency, factories.price().pk, days=[today])
    seen = visiting()
    seen.open(reverse("admin_costs"))
    bars, month = ink(seen)
    assert {_AZURE, _OPENAI} <= set(bars["colours"])
    assert 0 < month["share"] < 0.5
    picture(seen, "day-light")
    assert seen.troubles == []


def test_with_a_years_data_all_is_drawn_in_light_and_dark(
    visiting: Callable[[], Visit], agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_the_clock(monkeypatch)
    a_year(agency)
    seen = visiting()
    for scheme in ("light", "dark"):
        seen.page.emulate_media(color_scheme=scheme)
        for days in (30, 90, 365):
            seen.open(f"{reverse('admin_costs')}?tenant={agency.pk}&days={days}")
            bars, month = ink(seen)
            assert {_AZURE, _OPENAI} <= set(bars["colours"])
            assert _LIMIT in month["colours"]
            assert min(bars["share"], month["share"]) > 0.02
            assert overflow(seen) == []
            picture(seen, f"year-{days}-{scheme}")
    assert seen.page.evaluate("document.documentElement.classList.contains('dark')")
    for summary in seen.page.locator("summary").all():
        summary.click()
    seen.page.wait_for_selector("text=by the end of")
    picture(seen, "year-tables-dark")
    seen.page.set_viewport_size({"width": 420, "height": 2400})
    seen.open(f"{reverse('admin_costs')}?tenant={agency.pk}&days=30")
    assert overflow(seen) == []
    picture(seen, "year-narrow-dark")
    assert seen.troubles == []


def test_of_all_tenants_the_bars_are_drawn_and_lead_to_each(
    visiting: Callable[[], Visit], agency: Tenant, stranger: Tenant
) -> None:
    today = timezone.now().date()
    partitions(today, days=1)
    for tenant in (agency, stranger):
        spend(tenant, factories.price(model=f"model-{tenant.pk}").pk, days=[today])
    seen = visiting()
    seen.open(f"{reverse('admin_costs')}?tenant=all")
    (bars,) = ink(seen)
    assert {_AZURE, _OPENAI} <= set(bars["colours"])
    picture(seen, "all-light")
    seen.page.click("#tenants a:has-text('Eve')")
    seen.page.wait_for_selector("text=by the tenant's calendar")
    assert seen.troubles == []
