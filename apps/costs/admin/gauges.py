"""How a budget stands in its present period, at a glance."""

from decimal import Decimal
from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.common.admin.columns import EMPTY, Column, amount
from apps.costs.standing import Standing

_FULL = Decimal(100)


class Gauge(Column):
    """A bar of what is spent and what is held of the limit, and the same in words."""

    def __call__(self, budget: Any) -> SafeString | str:
        if budget._state.adding:
            return EMPTY
        return gauge(budget.standing(at=timezone.now()))


class Shadow(Column):
    """What shadow mode would have stopped this period."""

    def __call__(self, budget: Any) -> str:
        if budget._state.adding:
            return EMPTY
        standing: Standing = budget.standing(at=timezone.now())
        if not standing.shadow_calls:
            return EMPTY
        calls = "call" if standing.shadow_calls == 1 else "calls"
        of_up_to = f"of up to {amount(standing.shadow_amount)} {budget.currency}"
        return f"{standing.shadow_calls:,} {calls} {of_up_to}"


def gauge(standing: Standing) -> SafeString | str:
    spent, held = standing.percent, standing.held_percent
    if spent is None or held is None:
        return f"{amount(standing.spent)} spent, of nothing"
    words = f"{amount(spent).removesuffix('0')} % spent"
    if standing.held:
        words += f", {amount(held).removesuffix('0')} % held"
    title = f"{amount(standing.spent)} spent, {amount(standing.held)} held of {amount(standing.limit)}"
    return format_html(
        '<div class="whitespace-nowrap" style="min-width: 9rem" title="{}">{}{}</div>',
        *(title, _bar(spent, held), words),
    )


def _bar(spent: Decimal, held: Decimal) -> SafeString:
    """What is beyond the limit has no room in it."""
    spent = min(spent, _FULL)
    items = [
        {
            "title": "spent",
            "value": spent,
            "progress_class": "bg-red-600 dark:bg-red-500" if spent == _FULL else "",
        },
        {"title": "held", "value": min(held, _FULL - spent), "progress_class": "opacity-50"},
    ]
    return SafeString(render_to_string("unfold/components/progress.html", {"items": items}))


GAUGE = Gauge("this period")
SHADOW = Shadow("would stop")
