"""What stands in the cells of the tables of the admin's pages Costs and Economics."""

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from apps.common.admin.columns import change_url, link

# Characters of a name.
NAME = 60


def long_link(label: str, pk: object, text: str, *, characters: int = NAME) -> SafeString:
    """One to a row of this model, with no more than so much of its text."""
    return link(change_url(label, pk), shortened(text, characters), title=text)


def shortened(text: str, characters: int = NAME) -> str:
    return Truncator(text).chars(characters)


def two_lines(first: str, second: str) -> SafeString:
    # In one element, or a narrow screen would put them side by side.
    return format_html("<div>{}<br>{}</div>", first, second)
