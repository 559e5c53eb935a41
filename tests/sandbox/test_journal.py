from pathlib import Path

import pytest

from apps.sandbox.gateway.clock import Clock
from apps.sandbox.journal import Journal, JournalError


def test_a_torn_last_line_is_cut_off_and_the_rest_kept(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"n":1}\n{"n":2}\n{"n":')

    journal = Journal(path)
    journal.append({"n": 3})

    assert [document["n"] for document in journal.documents()] == [1, 2, 3]
    journal.close()


@pytest.mark.parametrize("torn", [b'{"n":', b"x" * 200_000])
def test_a_file_that_holds_nothing_but_a_torn_line_becomes_empty(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(torn)

    journal = Journal(path)

    assert journal.size == 0
    assert path.read_bytes() == b""
    journal.close()


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n"])
def test_a_spoilt_line_in_the_middle_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"n":1}\n' + line + b'{"n":2}\n')
    journal = Journal(path)

    with pytest.raises(JournalError, match="line 2"):
        list(journal.documents())
    journal.close()


def test_one_file_has_one_writer(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "lines.jsonl")

    with pytest.raises(JournalError, match="in use by another process"):
        Journal(tmp_path / "lines.jsonl")
    journal.close()


def test_reading_stops_where_the_file_ended_when_it_began(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "lines.jsonl")
    journal.append({"n": 1})

    lines = journal.lines()
    first = next(lines)
    journal.append({"n": 2})

    assert [first, *lines] == [b'{"n":1}\n']
    journal.close()


def test_the_clock_never_goes_back_behind_what_was_recorded() -> None:
    ahead = 4_000_000_000.0

    assert Clock(not_before=ahead).now() >= ahead
