"""Texts from outside."""

import pytest
from django.core.exceptions import ValidationError

from apps.common.text import validate_name

PERSIAN, WOMAN_AT_A_COMPUTER = "\u0645\u06cc\u200c\u062e\u0648", "\U0001f469\u200d\U0001f4bb"
MARKED, ENGLAND = "\u200f\u05d0\u05d1", "\U0001f3f4\U000e0067\U000e0062\U000e007f"


@pytest.mark.parametrize("name", ["#alerts", "Büro", "警報", PERSIAN, WOMAN_AT_A_COMPUTER, MARKED, ENGLAND])
def test_a_name_in_any_script_is_a_name(name: str) -> None:
    validate_name(name)


@pytest.mark.parametrize("character", "\n\r\t\0\x1b\x7f\x85\u2028\u2029\u202a\u202c\u202e\u2066\u2069")
def test_what_breaks_its_line_or_turns_it_around_is_in_no_name(character: str) -> None:
    with pytest.raises(ValidationError, match="one line"):
        validate_name(f"a{character}b")
