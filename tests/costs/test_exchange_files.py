"""Files of rates: ours, and the European Central Bank's."""

from datetime import date
from decimal import Decimal

import pytest

from apps.costs.exchange_files import read_rates

TODAY = date(2026, 11, 28)

# As the bank lays out its history: euros, a blank after the last comma, N/A where there is no rate.
ECB = """Date,USD,JPY,BGN,
2026-11-27,1.25,200.5,N/A,
2026-11-26,1.2,198,1.9558,
"""
ECB_OF_A_DAY = "Date, USD, JPY, \n27 November 2026, 1.25, 200.5, \n"


def rates(text: str) -> list[tuple[str, date, str]]:
    found = read_rates(text, today=TODAY)
    assert found.problems == []
    return [(each.currency, each.date, f"{each.per_usd.normalize():f}") for each in found.rates]


def problems(text: str) -> list[str]:
    found = read_rates(text, today=TODAY)
    assert found.rates == []
    return found.problems


def test_our_own_layout_is_rates_of_a_dollar() -> None:
    text = 'date,currency,rate\r\n2026-11-27,EUR,0.9215\r\n\r\n"2026-11-28", JPY ,151\r\n'
    assert rates(text) == [("EUR", date(2026, 11, 27), "0.9215"), ("JPY", date(2026, 11, 28), "151")]


def test_the_banks_rates_of_a_euro_become_those_of_a_dollar() -> None:
    assert rates(ECB) == [
        ("EUR", date(2026, 11, 27), "0.8"),
        ("JPY", date(2026, 11, 27), "160.4"),
        ("EUR", date(2026, 11, 26), "0.8333333333"),
        ("JPY", date(2026, 11, 26), "165"),
        ("BGN", date(2026, 11, 26), "1.6298333333"),
    ]
    assert rates(ECB_OF_A_DAY) == rates(ECB)[:2]


def test_what_is_there_twice_counts_once() -> None:
    line = "2026-11-27,EUR,0.92\n"
    assert len(rates(f"date,currency,rate\n{line}{line}")) == 1
    assert len(rates(f"date,currency,rate\n{line}2026-11-27,EUR,0.920\n")) == 1


def test_every_mistake_is_told_with_its_line_and_nothing_is_used() -> None:
    lines = ["2026-11-27,EUR,0.92", "2026-11-27,eur,0.92", "2026-13-01,EUR,1", "2026-11-27,EUR,0.93"]
    assert problems("\n".join(["date,currency,rate", *lines])) == [
        "line 3: “eur” is no currency: write three capital letters, as EUR",
        "line 4: “2026-13-01” is no day: write it as 2025-11-28",
        "line 5: line 2 has another rate of EUR for 2026-11-27",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2026-11-29,EUR,1", "still to come"),
        ("20261127,EUR,1", "is no day"),
        ("٢٠٢٦-11-27,EUR,1", "is no day"),
        ("2026-11-27,EUR,0", "is no rate from"),
        ("2026-11-27,EUR,1000000000.1", "is no rate from"),
        ("2026-11-27,EUR,-1", "is no rate:"),
        ("2026-11-27,EUR,1e3", "is no rate:"),
        ("2026-11-27,EUR,NaN", "is no rate:"),
        ("2026-11-27,EUR,\uff11", "is no rate:"),
        ('2026-11-27,EUR,"0,92"', "is no rate:"),
        ("2026-11-27,EUR,0.12345678901", "more than 10 decimals"),
        ("2026-11-27,EUR,0,92", "it has 4 values, and the head 3"),
        ("2026-11-27,EUR", "it has 2 values, and the head 3"),
        ("2026-11-27,USD,1", "needs no rate"),
        ("2026-11-27,ÉUR,1", "is no currency"),
        ('2026-11-27,EUR,"1', "unexpected end of data"),
        ("2026-11-27,EUR,\0", "is no rate|NUL"),
    ],
)
def test_a_line_that_can_not_be_is_refused(line: str, words: str) -> None:
    (problem,) = problems(f"date,currency,rate\n{line}\n")
    assert problem.startswith("line 2: ")
    assert any(each in problem for each in words.split("|"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has to begin with"),
        ("EUR,0.92\n", "has to begin with"),
        ("Date,JPY,\n2026-11-27,160,\n", "has to begin with"),
        ("Date,USD,USD\n2026-11-27,1,1\n", "a currency is there twice"),
        ("Date,USD,JPY\n2026-11-27,N/A,160\n", "it has no rate of USD"),
        ("date,currency,rate\n", "there are no rates in it"),
        ("date,currency,rate\n\n,,\n", "there are no rates in it"),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, words: str) -> None:
    (problem,) = problems(text)
    assert words in problem


def test_a_long_file_is_read_at_once() -> None:
    days = [date.fromordinal(TODAY.toordinal() - step) for step in range(7000)]
    lines = [f"{day},1.1,{','.join(['2'] * 30)}" for day in days]
    codes = [f"A{one}{other}" for one in "ABCDE" for other in "ABCDEF"]

    found = read_rates("\n".join([f"Date,USD,{','.join(codes)}", *lines]), today=TODAY)

    assert len(found.rates) == 7000 * 31
    assert {each.per_usd for each in found.rates} == {Decimal("1.8181818182"), Decimal("0.9090909091")}
