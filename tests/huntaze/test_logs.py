from functools import partial
from pathlib import Path

from huntaze.logs import Follower
from tests.huntaze.homes import eventually


def test_each_whole_line_carries_the_name_of_its_process(tmp_path: Path) -> None:
    web, beat = tmp_path / "web.log", tmp_path / "beat.log"
    web.write_text("from an earlier run\n")
    written: list[str] = []

    with Follower(tmp_path, ["web", "beat"], write=written.append):
        with web.open("a") as file:
            file.write("one\ntwo\nhalf a li")
        beat.write_text("tick\n")

    lines = sorted("".join(written).splitlines())
    assert lines == ["beat │ tick", "web  │ one", "web  │ two"]


def test_no_line_is_lost_when_a_file_is_rotated(tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    written: list[str] = []

    def said(line: str) -> bool:
        return line in "".join(written)

    with Follower(tmp_path, ["web"], write=written.append):
        for number in range(5):
            log.write_text(f"{number}\n")
            assert eventually(partial(said, f"│ {number}\n"))
            with log.open("a") as file:
                file.write(f"last of {number}\n")
            log.rename(tmp_path / f"web.log.{number}")

    expected = [line for number in range(5) for line in (f"{number}", f"last of {number}")]
    assert [line.removeprefix("web │ ") for line in "".join(written).splitlines()] == expected
