"""What an operator may do to prices."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.costs.models import Price
from apps.costs.price_rules import FIXED_BEFORE_START
from apps.tenants.system import system_transaction
from tests import factories

pytestmark = pytest.mark.django_db

ADD = "admin:costs_price_add"
LIST = "admin:costs_price_changelist"


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    return client


def page(price: Price, name: str = "change") -> str:
    return reverse(f"admin:costs_price_{name}", args=[price.pk])


def form(**changes: Any) -> dict[str, Any]:
    starts_at = changes.pop("starts_at", timezone.now() + timedelta(hours=1)).astimezone(UTC)
    fields = {
        "provider": "openai",
        "model": "gpt-4o",
        "kind": "text",
        "input_per_million": "2.5",
        "output_per_million": "10",
        **changes,
    }
    return {**fields, "starts_at_0": f"{starts_at:%Y-%m-%d}", "starts_at_1": f"{starts_at:%H:%M:%S}"}


def prices() -> list[Price]:
    with system_transaction():
        return list(Price.objects.order_by("starts_at"))


def test_a_new_price_is_entered(browser: Client) -> None:
    rates = {"cached_input_per_million": "0.0000000001", "batch_input_per_million": "1.25"}
    answer = browser.post(reverse(ADD), form(**rates, batch_output_per_million="5", note="by contract"))

    assert answer.status_code == 302
    (price,) = prices()
    assert (price.provider, price.model, price.note) == ("openai", "gpt-4o", "by contract")
    assert price.cached_input_per_million == Decimal("0.0000000001")
    assert (price.batch_input_per_million, price.batch_output_per_million) == (Decimal("1.25"), Decimal(5))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"provider": "acme"}, "Select a valid choice"),
        ({"model": "  "}, "This field is required"),
        ({"kind": "image"}, "Select a valid choice"),
        ({"input_per_million": ""}, "This field is required"),
        ({"input_per_million": "-1"}, "A rate is 0 or more"),
        ({"input_per_million": "10000.01"}, "is it the rate of another unit?"),
        ({"input_per_million": "0.00000000001"}, "no more than 10 decimal places"),
        ({"input_per_million": "NaN"}, "Enter a number"),
        ({"cached_input_per_million": "2.51"}, "costs no more than other input"),
        ({"output_per_million": "0"}, "would count as free"),
        ({"kind": "embedding"}, "An embedding has no output"),
        ({"batch_input_per_million": "1"}, "Give both rates of a batch"),
        ({"batch_output_per_million": "1"}, "Give both rates of a batch"),
        ({"batch_cached_input_per_million": "1"}, "A batch has an input rate"),
        ({"starts_at": datetime(2020, 1, 1, tzinfo=UTC)}, "That has passed"),
    ],
)
def test_what_can_not_be_a_price_is_refused_beside_its_field(
    browser: Client, changes: dict[str, Any], words: str
) -> None:
    answer = browser.post(reverse(ADD), form(**changes))

    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert prices() == []


def test_an_embedding_has_an_output_rate_of_nothing(browser: Client) -> None:
    assert browser.post(reverse(ADD), form(kind="embedding", output_per_million="0")).status_code == 302


def test_a_second_price_from_the_same_instant_is_refused_in_words(browser: Client) -> None:
    start = timezone.now().replace(microsecond=0) + timedelta(hours=1)
    factories.price(model="gpt-4o", starts_at=start)

    text = browser.post(reverse(ADD), form(starts_at=start)).content.decode()

    assert "The model has a price from that instant" in text
    assert len(prices()) == 1


def test_a_price_that_has_begun_is_only_shown_and_says_why(browser: Client) -> None:
    price = factories.price()

    text = browser.get(page(price)).content.decode()

    assert "This price has begun, so it stays" in text
    assert 'name="input_per_million"' not in text
    assert browser.post(page(price), form(input_per_million="9")).status_code == 403
    assert browser.post(page(price, "delete"), {"post": "yes"}).status_code == 403
    several = {"action": "delete_selected", "_selected_action": [price.pk], "post": "yes"}
    browser.post(reverse(LIST), several)
    assert [each.input_per_million for each in prices()] == [Decimal("0.5")]


def test_prices_that_have_begun_are_named_where_several_are_deleted(browser: Client) -> None:
    begun = factories.price(model="gpt-4o")
    planned = factories.price(model="gpt-4o-mini", starts_at=timezone.now() + timedelta(days=1))
    several = {"action": "delete_selected", "_selected_action": [begun.pk, planned.pk]}

    for confirmed in ({}, {"post": "yes"}):
        text = browser.post(reverse(LIST), {**several, **confirmed}).content.decode()
        assert f"{begun}: it has begun, so it stays" in text
        assert f"{planned}: it has begun" not in text
        assert "have permission" not in text
    assert len(prices()) == 2

    browser.post(reverse(LIST), {**several, "_selected_action": [planned.pk], "post": "yes"})
    assert prices() == [begun]


def test_a_price_like_the_one_in_force_is_refused_in_words(browser: Client) -> None:
    start = timezone.now().replace(microsecond=0)
    rates: dict[str, Any] = {
        "input_per_million": "2.5",
        "output_per_million": "10",
        "cached_input_per_million": None,
    }
    factories.price(model="gpt-4o", starts_at=start - timedelta(days=9), **rates)

    text = browser.post(reverse(ADD), form()).content.decode()
    assert f"These rates hold already, since {start - timedelta(days=9):%Y-%m-%d}" in text
    assert len(prices()) == 1

    dearer = form(output_per_million="11", starts_at=start + timedelta(days=1))
    assert browser.post(reverse(ADD), dearer).status_code == 302
    assert browser.post(reverse(ADD), form(starts_at=start + timedelta(days=2))).status_code == 302
    planned = prices()[-1]
    assert browser.post(page(planned), form(starts_at=planned.starts_at, note="ours")).status_code == 302


def test_a_price_that_takes_anothers_place_begins_when_everybody_has_it(browser: Client) -> None:
    """What was called between the instant in the form and its being sent was billed by the other price."""
    factories.price(model="gpt-4o")
    sent = timezone.now()

    browser.post(reverse(ADD), form(starts_at=sent - timedelta(minutes=4)))
    browser.post(reverse(ADD), form(model="gpt-new", starts_at=sent - timedelta(minutes=4)))

    first, new, follower = prices()[0], *prices()[1:]
    assert (first.model, new.model, follower.model) == ("gpt-4o", "gpt-new", "gpt-4o")
    assert new.starts_at < sent
    assert sent + FIXED_BEFORE_START <= follower.starts_at <= timezone.now() + FIXED_BEFORE_START


def test_one_that_has_not_begun_may_be_changed_and_deleted(browser: Client) -> None:
    price = factories.price(starts_at=timezone.now() + timedelta(days=1))
    assert "may be changed until a minute before" in browser.get(page(price)).content.decode()

    assert browser.post(page(price), form(input_per_million="9")).status_code == 302
    assert [each.input_per_million for each in prices()] == [9]
    assert browser.post(page(price, "delete"), {"post": "yes"}).status_code == 302
    assert prices() == []


def test_a_new_price_begins_with_the_rates_of_an_old_one(browser: Client) -> None:
    price = factories.price(
        provider="azure", model="my model & more", cached_input_per_million="0.25", output_per_million="1.5"
    )

    text = browser.get(page(price)).content.decode()
    start = text.index(f"{reverse(ADD)}?")
    url = text[start : text.index('"', start)].replace("&amp;", "&")

    given = {name: value for name, (value,) in parse_qs(urlsplit(url).query).items()}
    assert given["model"] == "my model & more"
    assert "batch_input_per_million" not in given
    prefilled = browser.get(url).content.decode()
    for field in ('value="my model &amp; more"', 'value="0.25"', 'value="1.50"'):
        assert field in prefilled
    assert '<option value="azure" selected>' in prefilled


def test_staff_without_the_right_change_none(client: Client) -> None:
    client.force_login(factories.user(is_staff=True))
    price = factories.price(starts_at=timezone.now() + timedelta(days=1))
    assert client.post(page(price), form(input_per_million="9")).status_code == 403
    assert client.get(reverse(ADD)).status_code == 403
