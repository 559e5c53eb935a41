"""manage.py price_changes: our prices beside the list's, and taking its rates over."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from threading import Barrier
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.common.errors import InvalidInputError
from apps.costs.models import Price
from apps.costs.price_list import AS_OF
from apps.costs.services.price_changes import compare_prices, import_prices
from apps.costs.services.prices import ensure_prices
from apps.tenants.system import system_transaction
from tests import factories
from tests.costs.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> tuple[int, str]:
    """How the command ended, and what it said."""
    said = StringIO()
    try:
        call_command("price_changes", *arguments, stdout=said)
    except SystemExit as ended:
        return int(ended.code or 0), said.getvalue()
    return 0, said.getvalue()


def rows(**fields: Any) -> list[Price]:
    with system_transaction():
        return list(Price.objects.filter(**fields).order_by("provider", "model", "starts_at"))


@pytest.fixture
def dear() -> Price:
    """The list's prices, but one of ours is higher and has a rate for batches that the list doesn't know."""
    own = factories.price(
        provider="azure",
        model="gpt-4o",
        input_per_million="5",
        cached_input_per_million=None,
        output_per_million="10",
        batch_input_per_million="2",
        batch_output_per_million="4",
    )
    with system_transaction():
        ensure_prices(now=timezone.now())
    return own


def midnight() -> datetime:
    tomorrow = timezone.now().astimezone(UTC) + timedelta(days=1)
    return tomorrow.replace(hour=0, minute=0, second=0, microsecond=0)


def test_the_seeded_prices_are_the_lists() -> None:
    with system_transaction():
        ensure_prices(now=timezone.now())

    ended, said = run()

    assert ended == 0
    assert said.startswith("Our prices are those of genai-prices ")


def test_what_differs_is_shown_and_nothing_is_entered(dear: Price) -> None:
    before = rows()

    for arguments in ((), ("--dry-run",)):
        ended, said = run(*arguments)
        assert ended == 3
        table, last = said.splitlines()[:-1], said.splitlines()[-1]
        assert [line.split() for line in table] == [
            ["provider", "model", "USD", "per", "million", "ours", "theirs", "%"],
            ["azure", "gpt-4o", "input", "5.00", "2.50", "-50.0"],
            ["azure", "gpt-4o", "cached", "input", "none", "1.25"],
        ]
        assert last.startswith("1 models differ from genai-prices ")
    assert rows() == before


def test_an_import_enters_the_lists_rates_from_the_next_midnight_on_and_only_once(dear: Price) -> None:
    ended, said = run("--import")
    again = run("--import")

    old, new = rows(provider="azure", model="gpt-4o")
    assert (ended, again[0]) == (0, 0)
    assert f"1 prices entered from {midnight().isoformat()} on." in said
    assert "0 prices entered" in again[1]
    assert old == dear
    assert (new.starts_at, new.input_per_million, new.cached_input_per_million) == (
        midnight(),
        Decimal("2.5"),
        Decimal("1.25"),
    )
    # The list says nothing of Azure's batches, so what we know of them goes on.
    assert (new.batch_input_per_million, new.batch_output_per_million) == (Decimal(2), Decimal(4))
    with system_transaction():
        now = Price.objects.in_force(provider="azure", model="gpt-4o", at=timezone.now())
    assert now == dear
    assert run()[0] == 0


def test_a_model_that_we_have_no_price_of_is_entered_too() -> None:
    ended, said = run("--provider", "openai", "--model", "gpt-4o", "--import")

    assert ended == 0
    assert "none" in said
    (price,) = rows()
    assert (price.provider, price.model, price.batch_input_per_million) == (
        "openai",
        "gpt-4o",
        Decimal("1.25"),
    )


def test_only_what_was_asked_for_is_looked_at(dear: Price) -> None:
    assert run("--provider", "openai")[0] == 0
    assert run("--model", "gpt-4o-mini")[0] == 0
    assert run("--provider", "azure", "--model", "gpt-4o-mini", "--model", "gpt-4o")[0] == 3
    assert "gpt-4o-mini-tts" not in run("--model", "gpt-4o")[1]


def test_a_dated_model_of_ours_is_compared_with_what_it_is_a_version_of(dear: Price) -> None:
    factories.price(model="gpt-4o-2024-08-06", input_per_million="4", cached_input_per_million="1.25")
    factories.price(provider="elsewhere", model="gpt-4o")

    _, said = run("--provider", "openai")

    assert "gpt-4o-2024-08-06" in said
    assert "elsewhere" not in said


def test_why_others_are_left_out_is_said_when_asked(dear: Price) -> None:
    factories.price(model="our-own")

    _, said = run("-v", "2")

    assert "openai our-own has a price of ours, and the list doesn't know it." in said
    assert "openai gpt-audio is left out: it is also sold by input_audio_mtok" in said
    assert "our-own" not in run()[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--import", "--from", "2020-01-01"], "has passed"),
        (["--from", "2020-01-01"], "2020-01-01T00:00:00.00:00 has passed"),
        (["--from", "someday"], "neither a day nor an instant"),
        (["--import", "--dry-run"], "not allowed with"),
        (["--provider", "acme"], "invalid choice"),
        (["--model", "gpt-from-tomorrow"], "Neither our prices nor the list have gpt-from-tomorrow"),
    ],
)
def test_what_can_not_be_is_refused(dear: Price, arguments: list[str], words: str) -> None:
    before = rows()
    with pytest.raises(CommandError, match=words):
        call_command("price_changes", *arguments, stdout=StringIO())
    assert rows() == before


def test_what_the_list_will_say_then_is_compared_with_what_will_be_in_force_then(dear: Price) -> None:
    later = timezone.now() + timedelta(days=40)
    factories.price(
        provider="azure",
        model="gpt-4o",
        input_per_million="2.5",
        cached_input_per_million="1.25",
        output_per_million="10",
        starts_at=later,
    )
    assert run("--model", "gpt-4o")[0] == 3
    assert run("--model", "gpt-4o", "--from", later.isoformat())[0] == 0


def test_a_price_from_the_very_same_instant_stays_and_is_named(dear: Price) -> None:
    start = midnight()
    planned = factories.price(provider="azure", model="gpt-4o", input_per_million="7", starts_at=start)

    with pytest.raises(CommandError, match="1 models have a price from that very instant"):
        call_command("price_changes", "--import", stdout=StringIO())

    assert rows(provider="azure", model="gpt-4o") == [dear, planned]
    assert rows(starts_at=start)[0].input_per_million == 7


def test_a_price_that_has_begun_is_never_touched(dear: Price) -> None:
    now = timezone.now()
    with system_transaction():
        found = compare_prices(at=now)
        with pytest.raises(InvalidInputError, match="has passed"):
            import_prices(changes=found.changes, starts_at=now - timedelta(seconds=1), now=now)
    assert rows(provider="azure", model="gpt-4o") == [dear]
    assert {each.starts_at for each in rows()} == {AS_OF, dear.starts_at}


def test_two_imports_at_once_enter_each_price_once(dear: Price) -> None:
    now = timezone.now()
    start = midnight()

    with system_transaction():
        changes = compare_prices(at=start).changes

    begun = Barrier(6)

    def enter(_: int) -> int:
        with system_transaction():
            begun.wait()
            return import_prices(changes=changes, starts_at=start, now=now)

    assert sorted(at_once(6, enter)) == [0] * 5 + [1]
    assert len(rows(starts_at=start)) == 1
