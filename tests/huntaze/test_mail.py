"""EMAIL_URL."""

import pytest

from huntaze import mail
from huntaze.places import StartError


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
