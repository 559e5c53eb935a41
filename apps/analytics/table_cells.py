"""What stands in the cells of the tables of the admin's pages Costs and Economics."""

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from apps.common.admin.columns import change_url

# Characters of a name.
NAME = 60


def unbroken(text: str) -> SafeString:
    """In one line, however narrow its column is."""
    return format_html('<span class="whitespace-nowrap">{}</span>', text)


def long_link(label: str, pk: object, text: str, *, characters: int = NAME) -> SafeString:
    """One to a row of this model that may take several lines."""
    said = shortened(text, characters)
    return format_html('<a href="{}" title="{}" class="text-link">{}</a>', change_url(label, pk), text, said)


def shortened(text: str, characters: int = NAME) -> str:
    return Truncator(text).chars(characters)


def two_lines(first: str, second: str) -> SafeString:
    return format_html("{}<br>{}", unbroken(first), unbroken(second))
