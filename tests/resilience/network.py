"""Ways between a host and a service that can be blocked and opened: TCP proxies on one thread."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]
# A Unix socket, or a port of this machine.
Target = Path | int


@dataclass
class Way:
    """A port that leads to a service. While blocked, bytes are not lost but late: networks retransmit."""

    target: Target
    loop: asyncio.AbstractEventLoop
    port: int = 0
    _server: asyncio.Server | None = None
    # Bytes that have reached the service.
    carried: int = 0
    _there: asyncio.Event = field(default_factory=asyncio.Event)
    _back: asyncio.Event = field(default_factory=asyncio.Event)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def block(self, *, there: bool = True, back: bool = True) -> None:
        """Hold back what goes there, what comes back, or both."""
        for gate in [self._there] * there + [self._back] * back:
            self._call(gate.clear)

    def open(self) -> None:
        for gate in (self._there, self._back):
            self._call(gate.set)

    def drop(self) -> None:
        """Reset all its connections; others can be made at once."""
        self._call(self._abort)

    async def serve(self) -> None:
        self._there.set()
        self._back.set()
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _call(self, change: Callable[[], None]) -> None:
        async def do() -> None:
            change()

        asyncio.run_coroutine_threadsafe(do(), self.loop).result(5)

    def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self.loop.create_task(self._lead(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _abort(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._there.wait()
        try:
            onwards = await _connect(self.target)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(
            self._carry(reader, onwards[1], self._there, self._count),
            self._carry(onwards[0], writer, self._back, lambda _: None),
        )

    def _count(self, number: int) -> None:
        self.carried += number

    async def _carry(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        gate: asyncio.Event,
        count: Callable[[int], None],
    ) -> None:
        self._open.add(sink)
        try:
            while data := await source.read(65536):
                await gate.wait()
                sink.write(data)
                await sink.drain()
                count(len(data))
            await gate.wait()
        except OSError:
            pass
        finally:
            self._open.discard(sink)
            sink.close()


def _connect(target: Target) -> Awaitable[_Opened]:
    if isinstance(target, Path):
        return asyncio.open_unix_connection(str(target))
    return asyncio.open_connection("127.0.0.1", target)


class Network:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ways: list[Way] = []

    def way(self, target: Target) -> Way:
        way = Way(target, self._loop)
        asyncio.run_coroutine_threadsafe(way.serve(), self._loop).result(5)
        self._ways.append(way)
        return way

    async def close(self) -> None:
        for way in self._ways:
            await way.close()


@contextmanager
def network() -> Iterator[Network]:
    """Ways that end with the block; who uses them has to have ended before."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="network", daemon=True)
    thread.start()
    ways = Network(loop)
    try:
        yield ways
    finally:
        asyncio.run_coroutine_threadsafe(ways.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
