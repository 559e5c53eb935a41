"""Templates: what they may say, and that none can take the sender down."""

import time
from typing import Any

import pytest

from apps.messaging.models import Account, Fan
from apps.messaging.services.rendering import LONGEST_TEXT, RenderError, check, render

ACCOUNT = Account(name="Lola")


def fan(**fields: Any) -> Fan:
    return Fan(
        **{"name": "Zoë", "external_id": "f1", "attributes": {"city": "Łódź", "tags": ["a", "b"]}, **fields}
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("Hi {{ fan.name }}, {{ account.name }} here 💋", "Hi Zoë, Lola here 💋"),
        ("{{ fan.attributes.city | upcase }}", "ŁÓDŹ"),
        ("{{ fan.attributes.tags | join: ', ' }}", "a, b"),
        ("Hi {{ fan.attributes.nick | default: 'love' }}", "Hi love"),
        ("{% if fan.attributes.vip %}VIP{% else %}fan{% endif %}", "fan"),
        ("مرحبا {{ fan.name }} 👩‍👩‍👧", "مرحبا Zoë 👩‍👩‍👧"),
    ],
)
def test_a_template_is_rendered_for_a_fan(body: str, text: str) -> None:
    assert check(body) == []
    assert render(body, fan=fan(), account_name=ACCOUNT.name) == text


@pytest.mark.parametrize(
    "body",
    [
        "{% assign n = 99999999 %}"
        + "{% assign n = n | times: n %}" * 12
        + "{{ n"
        + "|times:n" * 900
        + "|size}}",
        "{% assign s = fan.name %}"
        + "{% assign s = s | append: s %}" * 12
        + "{{ s"
        + "|append:s" * 900
        + "|size}}",
    ],
)
def test_filters_that_are_chained_make_nothing_huge(body: str) -> None:
    started = time.monotonic()
    with pytest.raises(RenderError, match="too l"):
        render(body, fan=fan(), account_name=ACCOUNT.name)
    assert time.monotonic() - started < 1


def test_a_name_without_letters_takes_the_default() -> None:
    assert render("{{ fan.name | default: 'love' }}", fan=fan(name=""), account_name=ACCOUNT.name) == "love"


def test_a_fans_own_braces_are_text() -> None:
    assert render("{{ fan.name }}", fan=fan(name="{{ fan.id }}"), account_name=ACCOUNT.name) == "{{ fan.id }}"


@pytest.mark.parametrize(
    "body",
    [
        "{{ fan.attributes.nick }}",  # no value, no default
        "{{ fan.credential }}",
        "{{ nobody }}",
        "{{ fan.name",
        "{% for x in fan.attributes.tags %}{{ x }}{% endfor %}",
        "{% include 'x' %}",
        "{{ fan.name | explode }}",
        "{{ 1 | divided_by: 0 }}",
        "{{ fan.attributes.city | slice: 'x' }}",
        "   {{ account.none | default: '' }} ",
        "",
        "x" * (LONGEST_TEXT + 1),
        "{% if " + " and ".join(["fan.name"] * 2000) + " %}x{% endif %}",
        "{{ 9 " + "| times: 99999999999999999999 " * 300 + "}}",
        "{% assign x = 'aaaaaaaaaaaaaaaa' %}" + "{% assign x = x | append: x %}" * 60 + "{{ x }}",
    ],
)
def test_a_template_that_gives_no_proper_text_is_a_render_error(body: str) -> None:
    with pytest.raises(RenderError) as refused:
        render(body, fan=fan(), account_name=ACCOUNT.name)
    assert refused.value.code == "render_error"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("{{ nobody }}", "nobody"),
        ("{{ fan.credential }}", "fan.credential"),
        ("{{ fan }}", "fan"),
        ("{{ fan.name | replace: 'a', 'b' }}", "replace"),
        ("{% for x in y %}{% endfor %}", "for"),
        ("{{ fan.name", "expected"),
        (" ", "empty"),
    ],
)
def test_the_check_names_what_is_wrong(body: str, problem: str) -> None:
    assert any(problem in found for found in check(body))
