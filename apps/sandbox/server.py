"""What both servers share: how they start and stop, and how a fault breaks an answer."""

import asyncio
import json
import resource
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from aiohttp import web

from apps.sandbox.journal import JournalWriteError

MAX_BODY_BYTES = 16 * 1024 * 1024
# In-flight requests get this long when the server is told to stop.
SHUTDOWN_SECONDS = 0.5

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ServerError(Exception):
    """The server can't start; the message says why, in one line."""


def json_response(
    document: object, *, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """A JSON answer, compact."""
    body = json.dumps(document, separators=(",", ":")).encode()
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


async def read_json_object(request: web.Request) -> dict[str, Any] | None:
    """The body as a JSON object; None if it is none."""
    try:
        document = json.loads(await request.read())
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


async def hang() -> NoReturn:
    """Never answer: the handler is cancelled when the client leaves or the server stops."""
    await asyncio.Event().wait()
    raise AssertionError("an event that nobody sets was set")


async def cut(request: web.Request) -> NoReturn:
    """Drop the connection."""
    if request.transport is not None:
        request.transport.abort()
    await hang()


async def reset(request: web.Request) -> NoReturn:
    """Drop the connection with a reset, where `cut` ends it in good order."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        # Lingering for no time at all is what makes the kernel send one.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await cut(request)


@web.middleware
async def json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer in JSON what no handler does: an unknown path, a body too large, a full disk (503).

    Who hangs up before the end of an answer is nobody's error.
    """
    try:
        return await handler(request)
    except web.HTTPException as error:
        status, code = error.status, error.reason.lower().replace(" ", "_")
        message = f"{request.method} {request.path}: {error.reason}"
    except JournalWriteError as error:
        status, code, message = 503, "unavailable", str(error)
    except ConnectionResetError:  # the client has hung up, and we found out by writing to it
        await cut(request)
    return json_response({"error": {"code": code, "message": message}}, status=status)


async def serve(app: web.Application, *, name: str, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; says where, in one line on stdout. Raises ServerError."""
    _allow_many_connections()
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=SHUTDOWN_SECONDS,
        handle_signals=False,
    )
    await runner.setup()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        site = web.TCPSite(runner, host, port, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            raise ServerError(f"can't listen on {host}:{port}: {error.strerror}") from error
        bound = runner.addresses[0]
        sys.stdout.write(f"sandbox {name} at http://{host}:{bound[1]}\n")
        sys.stdout.flush()
        await stop.wait()
    finally:
        await runner.cleanup()


def _allow_many_connections() -> None:
    """Raise the limit of open files as far as an ordinary user may: clients wait by the thousand."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
