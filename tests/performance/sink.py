"""A platform's gateway that takes every message, as cheaply as Python can, and notes when it came.

It speaks the gateway protocol to clients that keep their connections and send no request before they have the
answer to the last. Accounts and recipients are called by numbers. Look-ups aren't offered (501).
"""

import argparse
import re
import select
import socket
import time
from pathlib import Path

from tests.performance.arrivals import RECORD

_BODY = b'{"id":"taken","created_at":"2026-01-01T00:00:00Z"}'
_CREATED = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_BODY),
    _BODY,
)
_NO_LOOK_UPS = b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WRITTEN_EVERY_S = 0.02
_READ_AT_ONCE = 65536


class Sink:
    def __init__(self, port: int, arrivals: Path) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._listener.setblocking(False)
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._connections: dict[int, socket.socket] = {}
        self._begun: dict[int, bytes] = {}
        self._file = arrivals.open("ab", buffering=0)
        self._noted = bytearray()

    def serve(self) -> None:
        """Until the process ends."""
        listening, written_at = self._listener.fileno(), time.monotonic()
        while True:
            for number, _ in self._poll.poll(_WRITTEN_EVERY_S):
                if number == listening:
                    self._accept()
                else:
                    self._read(number)
            if self._noted and time.monotonic() > written_at + _WRITTEN_EVERY_S:
                self._file.write(self._noted)
                self._noted.clear()
                written_at = time.monotonic()

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[connection.fileno()] = connection
        self._poll.register(connection, select.EPOLLIN)

    def _read(self, number: int) -> None:
        connection = self._connections[number]
        try:
            data = connection.recv(_READ_AT_ONCE)
        except OSError:
            data = b""
        if not data:
            self._begun.pop(number, None)
            self._connections.pop(number).close()
            return
        if number in self._begun:
            data = self._begun.pop(number) + data
        if _is_whole(data):
            connection.send(self._answer(data))
        else:
            self._begun[number] = data

    def _answer(self, request: bytes) -> bytes:
        if not request.startswith(b"POST"):
            return _NO_LOOK_UPS
        # POST /accounts/7/chats/42/messages HTTP/1.1
        _, _, account, _, recipient, _ = request.split(b"/", 5)
        self._noted += RECORD.pack(time.time_ns() // 1000, int(account), int(recipient))
        return _CREATED


def _is_whole(request: bytes) -> bool:
    head = request.find(b"\r\n\r\n")
    if head < 0:
        return False
    length = _LENGTH.search(request, 0, head)
    return not length or len(request) >= head + 4 + int(length[1])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.sink", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("arrivals", type=Path)
    given = parser.parse_args()
    Sink(given.port, given.arrivals).serve()


if __name__ == "__main__":
    main()
