"""What `make` says on a machine that lacks something, before any of our code can run."""

import subprocess
from pathlib import Path

import pytest

from huntaze.places import CLONE


def install(folder: Path, *, python: str) -> "subprocess.CompletedProcess[str]":
    """deploy/venv.sh in an empty folder, with an interpreter that is this shell script."""
    interpreter = folder / "python"
    interpreter.write_text(f"#!/bin/sh\n{python}\n")
    interpreter.chmod(0o755)
    return subprocess.run(
        ["sh", str(CLONE / "deploy" / "venv.sh"), "requirements.txt"],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(interpreter)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("python", "error"),
    [
        (
            'case "$1" in --version) echo Python 3.10.13;; *) exit 1;; esac',
            "Python 3.11, 3.12 or 3.13 is needed, found Python 3.10.13: "
            "install one or set PYTHON=/path/to/python",
        ),
        (
            'case "$2" in *ensurepip*) exit 1;; esac',
            "{folder}/python can't make virtual environments: "
            "install its venv package (on Debian: apt install python3-venv)",
        ),
        (
            'case "$2" in venv) exit 1;; esac',
            "cannot make .venv here: is the folder writable?",
        ),
    ],
    ids=["too old", "no venv", "no room"],
)
def test_what_is_missing_is_said_in_one_line(tmp_path: Path, python: str, error: str) -> None:
    done = install(tmp_path, python=python)

    assert done.returncode == 1
    assert done.stderr == f"huntaze: {error.format(folder=tmp_path)}\n"
    assert not (tmp_path / ".venv").exists()
