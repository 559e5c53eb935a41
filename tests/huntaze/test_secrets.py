import json
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from huntaze import secrets
from huntaze.places import StartError


def test_secrets_are_made_once_and_kept_from_others(tmp_path: Path) -> None:
    home = tmp_path / "var"

    first = secrets.load(home)

    assert secrets.load(home) == first
    assert secrets.load(tmp_path / "other") != first
    assert (home / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in home.iterdir()] == ["secrets.json"]
    assert Fernet(first.encryption_key).decrypt(Fernet(first.encryption_key).encrypt(b"text")) == b"text"


@pytest.mark.parametrize("text", ["", "[]", json.dumps({"secret_key": "only this"})])
def test_a_damaged_file_is_not_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(text)

    with pytest.raises(StartError, match=r"secrets\.json is damaged"):
        secrets.load(tmp_path)
    assert path.read_text() == text
