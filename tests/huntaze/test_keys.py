"""Keys of providers, as the environment gives them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "OPENAI_ORG_ID")


def read(home: Path, key: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"from huntaze import settings as s; print([s.{', s.'.join(NAMES)}])",
        ],
        env={**os.environ, **dict.fromkeys(NAMES, key), "HUNTAZE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_new_line_at_a_files_end_is_no_part_of_a_key(tmp_path: Path) -> None:
    assert read(tmp_path, " a-key\n").stdout == f"{['a-key'] * len(NAMES)}\n"


@pytest.mark.parametrize("key", ["a\tkey", "a\nkey", "schlüssel"])
def test_a_key_that_no_header_may_hold_is_refused_without_being_shown(tmp_path: Path, key: str) -> None:
    found = read(tmp_path, key)

    assert found.returncode != 0
    assert "API_KEY" in found.stderr
    assert key not in found.stderr
