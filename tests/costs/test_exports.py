"""Providers' exports as they come: layouts, spellings, and what is refused by its line."""

from datetime import date
from decimal import Decimal
from io import BytesIO

import pytest

from apps.costs.exports import reading
from apps.costs.exports.layouts import Line
from apps.costs.exports.reading import ExportError, canonical, read_export
from apps.costs.exports.values import read_amount, read_count, read_day, read_unit

DAY = date(2026, 3, 31)
NEUTRAL = "day,model,requests,input_tokens,cached_tokens,output_tokens,amount,currency\n"


def lines(text: str | bytes) -> list[Line]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(read_export(BytesIO(data)).sums.values())


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(ExportError) as refused:
        lines(text)
    return [str(each) for each in refused.value.problems]


def test_the_neutral_layout_is_added_up_by_day_and_model() -> None:
    found = lines(
        NEUTRAL + "2026-03-31,gpt-4o,2,100,20,10,0.5,USD\n"
        "2026-03-31,gpt-4o,1,50,0,5,0.25,usd\n2026-04-01,gpt-4o,1,1,0,1,0.1,USD\n"
    )
    assert found == [
        Line(DAY, "gpt-4o", "", 3, 150, 20, 15, Decimal("0.75")),
        Line(date(2026, 4, 1), "gpt-4o", "", 1, 1, 0, 1, Decimal("0.1")),
    ]


def test_openais_usage_export() -> None:
    found = lines(
        "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,"
        "model,batch,service_tier,input_tokens,output_tokens,input_cached_tokens\n"
        "1774915200,1775001600,2026-03-31T00:00:00+00:00,2026-04-01T00:00:00+00:00,proj_1,7,,key,"
        "gpt-4o-2024-08-06,false,default,1000,200,300\n"
        "1775001600,1775088000,2026-04-01T00:00:00+00:00,2026-04-02T00:00:00+00:00,,,,,,,,,,\n"
    )
    assert found == [Line(DAY, "gpt-4o-2024-08-06", "proj_1", 7, 1000, 300, 200, None)]


def test_openais_cost_export() -> None:
    head = (
        "start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,quantity,quantity_unit,"
        "line_item,project_id,organization_id\n"
    )
    start = "1774915200,1775001600,2026-03-31T00:00:00+00:00,2026-04-01T00:00:00+00:00"
    export = read_export(
        BytesIO(
            (
                head + f'{start},0.8958740000000001,usd,700,tokens,"gpt-4o-2024-08-06, input",p,o\n'
                f'{start},0.1,usd,300,tokens,"gpt-4o-2024-08-06, cached input",p,o\n'
                f'{start},0.2,usd,200,tokens,"gpt-4o-2024-08-06, output",p,o\n'
                f'{start},5,usd,1,,"web search",p,o\n'
                f"{start},,,,,,,\n"
            ).encode()
        )
    )
    assert export.layout == "openai costs"
    assert list(export.sums.values()) == [
        Line(DAY, "gpt-4o-2024-08-06", "p", None, 1000, 300, 200, Decimal("1.1958740000"))
    ]
    assert (export.lines, export.others) == (5, 2)


def test_azures_cost_details() -> None:
    head = (
        "Date,MeterCategory,MeterSubCategory,MeterName,UnitOfMeasure,Quantity,CostInBillingCurrency,"
        "BillingCurrencyCode\n"
    )
    found = lines(
        head + "03/31/2026,Azure OpenAI,Azure OpenAI,gpt-4o-0806-Inp-glbl Tokens,1K,2.5,0.00625,USD\n"
        "03/31/2026,Azure OpenAI,Azure OpenAI,gpt 4o 0806 cached Inp glbl Tokens,1K,1,0.00125,USD\n"
        "03/31/2026,Azure OpenAI,Azure OpenAI,gpt-4o-0806-Outp-glbl Tokens,1K,0.5,0.005,USD\n"
        "03/31/2026,Azure OpenAI,Azure OpenAI,text-embedding-3-small-glbl Tokens,1M,1,0.02,USD\n"
        "03/31/2026,Storage,Blob,LRS Data Stored,1 GB,3,1.2,USD\n"
    )
    by_model = {each.model: each for each in found}
    assert by_model["gpt-4o-0806"] == Line(
        DAY, "gpt-4o-0806", "", None, 3500, 1000, 500, Decimal("0.0125000000")
    )
    assert by_model["text-embedding-3-small"].input_tokens == 1_000_000
    assert len(by_model) == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_spreadsheets_way_of_writing_is_understood(encoding: str) -> None:
    text = "Day;Model;Requests;Input Tokens;Output-Tokens;Amount;Key\r\n\r\n"
    text += "2026-03-31 10:00;gpt-4o;1.200;1 000;5;1.234,5;Größe “ü”\r\n"
    (found,) = lines(text.encode(encoding))
    assert found == Line(DAY, "gpt-4o", "Größe “ü”", 1200, 1000, None, 5, Decimal("1234.5"))


def test_every_line_that_can_not_be_is_named_and_nothing_is_taken() -> None:
    found = problems(
        NEUTRAL + "2026-03-31,gpt-4o,1,10,20,1,1,USD\nyesterday,gpt-4o,1,1,0,1,1,USD\n"
        "2026-03-31,gpt-4o,1,1,0,1,1,EUR\n2026-03-31,gpt-4o,-1,1,0,1,1,USD\n2026-03-31,,1,1,0,1,1,USD\n"
        "2026-03-31,gpt-4o,1,1,0,1,NaN,USD\n,gpt-4o,1,1,0,1,1,USD\n2026-03-31,gpt-4o,1,1.5,0,1,1,USD\n"
        '2026-03-31,"gpt-4o,1,1,0,1,1,USD\n'
    )
    assert [each.partition(":")[0] for each in found] == [f"Line {number}" for number in range(2, 11)]
    for text, words in zip(
        found,
        [
            "can't be cached",
            "is no day",
            "in EUR",
            "no whole number",
            "no model",
            "no amount",
            "day is missing",
        ],
        strict=False,
    ):
        assert words in text


def test_of_many_problems_the_first_twenty_are_told() -> None:
    assert len(problems(NEUTRAL + "x,gpt-4o,1,1,0,1,1,USD\n" * 100)) == reading.MOST_PROBLEMS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "no line with a model's usage"),
        (NEUTRAL.encode(), "no line with a model's usage"),
        (b"a,b\n1,2\n", "say too little"),
        (b"day,model\n2026-03-31,gpt-4o\n", "say too little"),
        (b"day,model,amount\n2026-03-31,caf\xe9,1\n", "neither UTF-8 nor UTF-16"),
        (b"PK\x03\x04\xff\xfe\x00", "neither UTF-8 nor UTF-16"),
        (NEUTRAL.encode() + b"x" * 70_000, "longer than"),
        (b"day,model,amount\n2026-03-31,a\0b,1\n", "NUL"),
    ],
)
def test_a_file_that_is_none_is_refused_in_words(text: bytes, words: str) -> None:
    assert words in problems(text)[-1]


def test_a_file_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_LINES", 3)
    row = "2026-03-31,gpt-4o,1,1,0,1,1,USD\n"
    assert len(lines(NEUTRAL + row * 2)) == 1
    assert "3 lines at most" in problems(NEUTRAL + row * 3)[-1]
    monkeypatch.setattr(reading, "MOST_SUMS", 1)
    assert "more than 1 different" in problems(NEUTRAL + row + row.replace("gpt-4o", "o3"))[-1]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-03-31", DAY),
        ("2026-03-31T23:59:59Z", DAY),
        ("2026-03-31T23:59:59-02:00", date(2026, 4, 1)),
        ("2026-04-01T00:30:00+01:00", DAY),
        ("2026-03-31 00:00:00 UTC", DAY),
        ("20260331", DAY),
        ("03/31/2026", DAY),
        ("3/31/2026 00:00", DAY),
        ("1774915200", DAY),
    ],
)
def test_days_are_utcs(text: str, day: date) -> None:
    assert read_day(text) == day


@pytest.mark.parametrize(
    "text", ["", "31.03.2026", "31/03/2026", "0001-01-01", "9999999999", "2026-02-30", "٢٠٢٦"]
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="day"):
        read_day(text)


def test_numbers_of_either_half_of_the_world() -> None:
    assert read_amount("1,234.5", decimal_comma=False) == Decimal("1234.5")
    assert read_amount("1.234,5", decimal_comma=True) == Decimal("1234.5")
    assert read_amount("1,234", decimal_comma=True) == Decimal("1.234")
    assert read_amount("1,234", decimal_comma=False) == Decimal(1234)
    assert read_amount("$1.2e-05", decimal_comma=False) == Decimal("0.000012")
    assert read_amount("1\u202f234,5", decimal_comma=True) == Decimal("1234.5")
    assert read_count("1.234.567", decimal_comma=True) == 1_234_567
    assert read_count("12.0", decimal_comma=False) == 12
    assert read_unit("1K Tokens") == 1000
    assert read_unit("1M") == 1_000_000
    for text in ("-1", "1e999", "Infinity", "٣", "", "1..2"):
        with pytest.raises(ValueError, match="no amount"):
            read_amount(text, decimal_comma=False)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o-0806", "gpt-4o"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("gpt-4o-mini0718", "gpt-4o-mini"),
        ("gpt-35-turbo", "gpt-3.5-turbo"),
        ("gpt-3.5-turbo-0125", "gpt-3.5-turbo"),
        ("GPT-4", "gpt-4"),
        ("gpt-4.1", "gpt-4.1"),
        ("gpt-4o-realtime", "gpt-4o-realtime"),
        ("ft:gpt-4o:acme", "ft:gpt-4o:acme"),
    ],
)
def test_a_dated_model_is_the_model(theirs: str, ours: str) -> None:
    assert canonical(theirs, known=["gpt-4", "gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo"]) == ours


@pytest.mark.parametrize(
    ("theirs", "used", "ours"),
    [
        # The list knows some dated models by themselves; whoever calls gpt-4o is billed for one of them.
        ("gpt-4o-2024-05-13", ["gpt-4o"], "gpt-4o"),
        ("gpt-4o-2024-05-13", ["gpt-4o", "gpt-4o-2024-05-13"], "gpt-4o-2024-05-13"),
        ("gpt-4o-2024-05-13", [], "gpt-4o-2024-05-13"),
        ("gpt-4o-2024-08-06", ["gpt-4o-2024-05-13"], "gpt-4o"),
        ("gpt 4o 0513", ["gpt-4o-2024-05-13"], "gpt-4o-2024-05-13"),
        ("gpt-4o-0513", [], "gpt-4o-2024-05-13"),
        ("gpt-4o-mini-0513", ["gpt-4o"], "gpt-4o-mini-0513"),
    ],
)
def test_of_a_models_names_the_one_that_was_called_counts(theirs: str, used: list[str], ours: str) -> None:
    assert canonical(theirs, known=["gpt-4o", "gpt-4o-2024-05-13"], used=used) == ours


def test_of_what_a_line_does_not_say_nothing_is_known_of_the_day() -> None:
    """Half of a day's amounts would look like all of them."""
    day = "2026-03-31,gpt-4o"
    (found,) = lines(NEUTRAL + f"{day},1,100,20,10,0.5,\n{day},1,100,0,10,,\n")
    assert found == Line(DAY, "gpt-4o", "", 2, 200, 20, 20, None)
    (found,) = lines(NEUTRAL + f"{day},,100,20,10,0.5,\n{day},,,,,0.5,\n")
    assert found == Line(DAY, "gpt-4o", "", None, None, None, None, Decimal(1))


def test_a_column_that_is_not_there_is_not_nothing() -> None:
    (found,) = lines(f"day,model,input_tokens,output_tokens\n{DAY},gpt-4o,7,\n")
    assert (found.input_tokens, found.cached_tokens, found.output_tokens) == (7, None, 0)
    (found,) = lines(f"day,model,input_tokens,amount\n{DAY},gpt-4o,7,1\n")
    assert (found.input_tokens, found.output_tokens, found.amount) == (7, None, Decimal(1))


@pytest.mark.parametrize(
    "row", ["2026-03-31,a{},1,1,0,1,1000000000,USD\n", "2026-03-31,a{},1,1000000000000000,0,1,1,USD\n"]
)
def test_sums_that_no_column_can_hold_are_refused(row: str) -> None:
    assert len(lines(NEUTRAL + row)) == 1
    assert "together are more than" in problems(NEUTRAL + row.format(1) + row.format(2))[-1]


def test_credits_and_other_currencies_of_something_else_are_passed_over() -> None:
    azure = "Date,MeterName,Quantity,UnitOfMeasure,CostInBillingCurrency,BillingCurrencyCode\n"
    azure += "03/31/2026,gpt-4o-0806-Inp-glbl Tokens,1,1K,0.5,USD\n03/31/2026,LRS Data Stored,1,1 GB,"
    assert [each.amount for each in lines(azure + "-2.5,USD\n")] == [Decimal("0.5")]
    assert [each.amount for each in lines(azure + "2.5,EUR\n")] == [Decimal("0.5")]
    openai = "start_time_iso,line_item,amount_value,amount_currency\n2026-03-31,web search,-1,usd\n"
    assert len(lines(openai + '2026-03-31,"gpt-4o, input",1,usd\n')) == 1
