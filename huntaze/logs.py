"""One readable log out of many files: each whole line, with the name of its process in front."""

import os
import threading
from collections.abc import Callable, Sequence
from io import BufferedReader
from pathlib import Path

_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
_POLL_SECONDS = 0.2


class Follower:
    """Follow the files `folder`/<name>.log from their present end, also when they are rotated."""

    def __init__(
        self, folder: Path, names: Sequence[str], *, write: Callable[[str], object], colour: bool = False
    ) -> None:
        self._write = write
        self._files = [_File(folder / f"{name}.log", label) for name, label in _labels(names, colour)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="log", daemon=True)

    def __enter__(self) -> "Follower":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for file in self._files:
            file.close()

    def _follow(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            self.pass_on()
        self.pass_on()

    def pass_on(self) -> None:
        """Write what has come since the last time; the thread does so five times a second."""
        text = "".join(file.new_lines() for file in self._files)
        if text:
            self._write(text)


class _File:
    def __init__(self, path: Path, label: str) -> None:
        self._path = path
        self._label = label
        self._rest = b""
        self._file = self._open()
        if self._file:
            self._file.seek(0, os.SEEK_END)

    def new_lines(self) -> str:
        """What was written since the last call, as far as its lines are whole."""
        if self._file is None:
            self._file = self._open()
        if self._file is None:
            return ""
        # Looked at before reading: what still went into the old file after that is read next time.
        rotated = self._rotated(self._file)
        self._rest += self._file.read()
        if rotated:
            self._file.close()
            self._file = self._open()
        *whole, self._rest = self._rest.split(b"\n")
        return "".join(f"{self._label}{line.decode(errors='replace')}\n" for line in whole)

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _open(self) -> BufferedReader | None:
        try:
            return self._path.open("rb")
        except FileNotFoundError:
            return None

    def _rotated(self, file: BufferedReader) -> bool:
        try:
            return self._path.stat().st_ino != os.fstat(file.fileno()).st_ino
        except FileNotFoundError:
            return False


def _labels(names: Sequence[str], colour: bool) -> list[tuple[str, str]]:
    width = max(map(len, names), default=0)
    labels = []
    for position, name in enumerate(names):
        label = f"{name:<{width}} │ "
        if colour:
            label = f"\x1b[{_COLOURS[position % len(_COLOURS)]}m{label}\x1b[0m"
        labels.append((name, label))
    return labels
