"""EMAIL_URL and COST_ALERT_EMAIL."""

import os
import subprocess
import sys

import pytest

from huntaze import mail
from huntaze.places import CLONE, StartError


def test_without_a_url_there_is_no_server() -> None:
    assert mail.server("") is None


@pytest.mark.parametrize(
    ("url", "port", "starttls", "encrypted"),
    [
        ("smtp://mail.example", 25, False, False),
        ("smtp://mail.example:2525/", 2525, False, False),
        ("submission://mail.example", 587, True, False),
        ("smtp+tls://mail.example:25", 25, True, False),
        ("smtps://mail.example", 465, False, True),
        ("smtp+ssl://mail.example", 465, False, True),
    ],
)
def test_the_scheme_says_how_it_is_encrypted(url: str, port: int, starttls: bool, encrypted: bool) -> None:
    found = mail.server(url)
    assert found is not None
    assert (found["host"], found["port"]) == ("mail.example", port)
    assert (found["use_tls"], found["use_ssl"]) == (starttls, encrypted)


def test_user_and_password_may_be_anything_that_is_quoted() -> None:
    found = mail.server("submission://ada%40agency.example:p%40ss%2F@mail.example")
    assert found is not None
    assert (found["username"], found["password"]) == ("ada@agency.example", "p@ss/")


@pytest.mark.parametrize(
    "url", ["mail.example", "http://:hush@mail.example", "smtp://:hush@", "smtp://:hush@mail.example:x"]
)
def test_a_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(StartError, match="EMAIL_URL must be like") as refusal:
        mail.server(url)
    assert "hush" not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" , ", []),
        ("ada@agency.example", ["ada@agency.example"]),
        ("ada@agency.example, eve@stranger.example", ["ada@agency.example", "eve@stranger.example"]),
        (" ada@agency.example ,,eve@localhost,", ["ada@agency.example", "eve@localhost"]),
    ],
)
def test_addresses_stand_between_commas_with_or_without_spaces(text: str, found: list[str]) -> None:
    assert mail.addresses(text) == found


@pytest.mark.parametrize("text", ["ada", "ada@agency.example; eve@stranger.example", "ok@a.example, ada@"])
def test_what_is_no_address_is_refused(text: str) -> None:
    wrong = text.split(", ")[-1]
    with pytest.raises(StartError) as refusal:
        mail.addresses(text)
    assert str(refusal.value) == (
        f"COST_ALERT_EMAIL must be e-mail addresses with commas between them, which {wrong!r} isn't"
    )


def test_the_settings_take_the_addresses_of_the_environment() -> None:
    def started(addresses: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", "from huntaze import settings; print(settings.COST_ALERT_EMAIL)"],
            env={**os.environ, "COST_ALERT_EMAIL": addresses},
            cwd=CLONE,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert started("a@x.example, b@y.example,").stdout == "['a@x.example', 'b@y.example']\n"
    last = started("a@x.example b@y.example").stderr.splitlines()[-1]
    assert last.startswith("huntaze.places.StartError: COST_ALERT_EMAIL must be ")
