"""`make lint` where no database runs, as on a machine that only checks."""

import subprocess
from pathlib import Path

from huntaze.places import CLONE
from tests.huntaze.homes import environment


def test_the_check_of_migrations_says_nothing_of_a_database_that_is_not_there(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "lint"],
        cwd=CLONE,
        capture_output=True,
        text=True,
        check=True,
    )
    *_, command = listed.stdout.splitlines()
    assert "makemigrations" in command

    done = subprocess.run(
        ["sh", "-c", command],
        cwd=CLONE,
        env=environment(tmp_path / "var"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.stdout, done.stderr, done.returncode) == ("No changes detected\n", "", 0)
