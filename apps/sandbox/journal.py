"""An append-only file of JSON lines that survives the death of the process that writes it."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class JournalError(Exception):
    """The journal can't be opened or read; the message says why, in one line."""


class JournalWriteError(Exception):
    """A line could not be written, and nothing of it stayed in the file."""


class Journal:
    """One JSON document a line, handed to the operating system before `append` returns.

    A killed process loses nothing that `append` returned for; no line is synced to the disk, so a power
    cut may.
    A lock on the file keeps a second process from writing to it.
    """

    def __init__(self, path: Path) -> None:
        """Open `path`, cut off a torn last line. Raises JournalError."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise JournalError(f"can't write to {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise JournalError(f"{path} is in use by another process") from error
        self._size = self._repair()

    @property
    def size(self) -> int:
        """Bytes of complete lines."""
        return self._size

    def append(self, document: dict[str, Any]) -> None:
        """Write one line. Raises JournalWriteError (a full disk, say) and leaves the file as it was."""
        line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise JournalWriteError(f"can't write to {self.path}: {error.strerror}") from error
        if written != len(line):
            os.ftruncate(self._descriptor, self._size)
            raise JournalWriteError(f"can't write to {self.path}: no space left")
        self._size += written

    def lines(self) -> Iterator[bytes]:
        """The lines that were complete when the reading began, each with its line feed."""
        left = self._size
        with self.path.open("rb") as file:
            for line in file:
                left -= len(line)
                if left < 0:
                    return
                yield line

    def documents(self) -> Iterator[dict[str, Any]]:
        """The lines as documents. Raises JournalError at one that is none."""
        for number, line in enumerate(self.lines(), start=1):
            try:
                document = json.loads(line)
            except ValueError as error:
                raise JournalError(f"{self.path}, line {number} is no JSON: move the file away") from error
            if not isinstance(document, dict):
                raise JournalError(f"{self.path}, line {number} is no JSON object: move the file away")
            yield document

    def clear(self) -> None:
        """Forget every line."""
        os.ftruncate(self._descriptor, 0)
        self._size = 0

    def close(self) -> None:
        os.close(self._descriptor)

    def _repair(self) -> int:
        """Cut off what follows the last line feed; the size that is left."""
        size = os.fstat(self._descriptor).st_size
        end = size
        while end > 0:
            start = max(0, end - 65536)
            found = os.pread(self._descriptor, end - start, start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end != size:
            os.ftruncate(self._descriptor, end)
        return end
