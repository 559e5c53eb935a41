"""Columns and read-only fields: links between rows, badges for states, amounts.

Each is a callable that Django's `list_display`, `readonly_fields` and `fieldsets` take as it is.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import urlencode
from uuid import UUID

from django.apps import apps
from django.contrib.admin.templatetags.admin_urls import admin_urlname
from django.contrib.admin.utils import quote
from django.db.models import CharField, Model, OuterRef, Subquery
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.common.money import rounded

EMPTY = "-"
# A version 7 id starts with its 48 bits of time: enough to tell rows apart, and to search by.
SHORT_ID = 13


class Column:
    """A value that is computed from a row. `order_by` names the column that the list may be sorted by."""

    def __init__(self, title: str, *, order_by: str | None = None) -> None:
        self.__name__ = title.lower().replace(" ", "_")
        self.short_description = title
        if order_by:
            self.admin_order_field = order_by

    def __call__(self, row: Model) -> Any:
        raise NotImplementedError


class IdLink(Column):
    """A link to the row whose id stands in a plain column, since a lower app has no key into a higher one.

    Where that row has a name, the list reads it in the same statement (`annotation`).
    """

    def __init__(self, title: str, field: str, *, to: str, name: str | None = "name") -> None:
        super().__init__(title)
        self.field, self.to, self.name = field, to, name
        self.alias = f"_{field}_name"

    def annotation(self) -> dict[str, Subquery[Any]]:
        if self.name is None:
            return {}
        rows = apps.get_model(self.to)._default_manager.filter(pk=OuterRef(self.field))
        return {self.alias: Subquery(rows.values(self.name)[:1], output_field=CharField())}

    def __call__(self, row: Model) -> SafeString | str:
        pk = getattr(row, self.field)
        if pk is None:
            return EMPTY
        return row_link(self.to, pk, name=getattr(row, self.alias, None))


class RowLink(Column):
    """A link to the row behind a foreign key; the admin has to select it along (`list_select_related`)."""

    def __init__(self, title: str, field: str, *, order_by: str | None = None) -> None:
        super().__init__(title, order_by=order_by)
        self.field = field

    def __call__(self, row: Model) -> SafeString | str:
        other = getattr(row, self.field)
        if other is None:
            return EMPTY
        name = None if str(other) == str(other.pk) else str(other)
        return row_link(other._meta.label_lower, other.pk, name=name)


class ListLink(Column):
    """A link to another list, filtered to what belongs to this row.

    `lookups` names the columns there and what they equal: a field here, or a plain word in `also`.
    """

    def __init__(self, title: str, to: str, *, also: Mapping[str, str] | None = None, **lookups: str) -> None:
        super().__init__(title)
        self.to, self.lookups, self.also = to, lookups, also or {}

    def __call__(self, row: Model) -> SafeString | str:
        values = {lookup: getattr(row, field) for lookup, field in self.lookups.items()}
        if None in values.values():
            return EMPTY
        return link(list_url(self.to, **values, **self.also), f"Show {self.short_description}")


class ShortId(Column):
    """The row's own id, short; the whole one as a tool tip."""

    def __init__(self, title: str = "id") -> None:
        super().__init__(title)

    def __call__(self, row: Model) -> SafeString:
        return format_html(
            '<span style="font-family: monospace; white-space: nowrap" title="{}">{}</span>',
            row.pk,
            short(row.pk),
        )


class Badge(Column):
    """A choice as a coloured label. Colours: success, info, warning, danger; none where it isn't named."""

    colours: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(("sent", "done", "succeeded", "settled", "finished", "ready", "replayed"), "success"),
        **dict.fromkeys(("sending", "running", "planning", "personalising", "dispatching", "held"), "info"),
        **dict.fromkeys(("unknown", "awaiting_approval", "warning", "paused", "stale"), "warning"),
        **dict.fromkeys(("dead", "failed", "critical", "open", "revoked", "expired"), "danger"),
        "active": "success",
        "info": "info",
    }

    def __init__(self, title: str, field: str) -> None:
        super().__init__(title, order_by=field)
        self.field = field

    def __call__(self, row: Model) -> SafeString | str:
        value = getattr(row, self.field)
        display = getattr(row, f"get_{self.field}_display", None)
        return badge(value, str(display() if display else value)) if value else EMPTY


class Preformatted(Column):
    """Text as it was written, or JSON, line by line."""

    def __init__(self, title: str, field: str) -> None:
        super().__init__(title)
        self.field = field

    def __call__(self, row: Model) -> SafeString | str:
        value = getattr(row, self.field)
        if value is None or isinstance(value, str):
            return preformatted(value or "")
        return preformatted(as_json(value))


class Amount(Column):
    """Money with its currency, without the zeros of its ten decimals.

    `rounded` is for estimates and sums, whose last decimals say nothing: in full as a tool tip.
    """

    def __init__(self, title: str, field: str, *, currency: str = "currency", rounded: bool = False) -> None:
        super().__init__(title, order_by=field)
        self.field, self.currency, self.rounded = field, currency, rounded

    def __call__(self, row: Model) -> SafeString | str:
        value = getattr(row, self.field)
        if value is None:
            return EMPTY
        currency = getattr(row, self.currency, "")
        in_full = f"{amount(value)} {currency}".rstrip()
        if not self.rounded:
            return unbroken(in_full)
        text = f"{money(value)} {currency}".rstrip()
        return unbroken(text, title=in_full)


class Duration(Column):
    """A length of time with its units: 41 ms, 1 min 30 s."""

    def __init__(self, title: str, field: str) -> None:
        super().__init__(title, order_by=field)
        self.field = field

    def __call__(self, row: Model) -> str:
        value = getattr(row, self.field)
        return EMPTY if value is None else duration(value)


class Mark(Column):
    """A label on the rows of which something out of the ordinary is true."""

    def __init__(self, title: str, field: str) -> None:
        super().__init__(title, order_by=field)
        self.field = field

    def __call__(self, row: Model) -> SafeString | str:
        return badge("warning", self.short_description) if getattr(row, self.field) else EMPTY


def amount(value: Decimal, *, group: str = ",") -> str:
    """At least two decimals, and all that aren't zero: 1,200.50, 0.00015."""
    whole, _, decimals = f"{value:{group}f}".partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def duration(value: timedelta) -> str:
    """By its two largest units: 41 ms, 2.5 s, 1 min 30 s, 7 d."""
    seconds = value.total_seconds()
    if seconds < 60:
        return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.0f} ms"
    left, parts = round(seconds), []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, left = divmod(left, size)
        parts += [f"{number} {unit}"] if number else []
    return " ".join(parts[:2])


def money(value: Decimal) -> str:
    """Rounded as far as somebody who looks at sums cares: 1,200.50, 0.0123."""
    return amount(rounded(value))


def badge(value: str, text: str) -> SafeString:
    context = {"type": Badge.colours.get(value, ""), "text": text}
    return SafeString(render_to_string("unfold/helpers/label.html", context).strip())


def as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def preformatted(text: str) -> SafeString | str:
    """Text as it was written, line by line: tracebacks, prompts, messages."""
    style = "font-family: monospace; white-space: pre-wrap; overflow-wrap: anywhere"
    return format_html('<pre class="text-xs" style="{}">{}</pre>', style, text) if text else EMPTY


def link(url: str, text: str, *, title: str = "") -> SafeString:
    return format_html('<a href="{}" title="{}" class="text-link">{}</a>', url, title, text)


def row_link(label: str, pk: object, *, name: str | None = None) -> SafeString:
    """By the row's name, which may take several lines, or else by its short id, which stays in one."""
    text = breakable(name) if name else unbroken(short(pk))
    return link(change_url(label, pk), text, title=str(pk))


def breakable(text: str) -> SafeString:
    """In several lines where its column is narrow, also after the underscores of its words."""
    return format_html_join(SafeString("_<wbr>"), "{}", ([part] for part in text.split("_")))


def unbroken(text: str, *, title: str = "") -> SafeString:
    """In one line, however narrow its column is."""
    return format_html('<span class="whitespace-nowrap" title="{}">{}</span>', title, text)


def short(pk: object) -> str:
    return f"{str(pk)[:SHORT_ID]}…" if isinstance(pk, UUID) else str(pk)


def change_url(label: str, pk: object) -> str:
    return reverse(admin_urlname(apps.get_model(label)._meta, SafeString("change")), args=[quote(str(pk))])


def list_url(label: str, **lookups: object) -> str:
    url = reverse(admin_urlname(apps.get_model(label)._meta, SafeString("changelist")))
    return f"{url}?{urlencode(lookups)}" if lookups else url


TENANT = IdLink("tenant", "tenant_id", to="tenants.tenant")
