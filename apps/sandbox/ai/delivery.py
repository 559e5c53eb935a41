"""Hand over an answer, whole or as the events of a stream, as far as a fault lets it come."""

import asyncio
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from apps.sandbox.ai.errors import Provider
from apps.sandbox.faults import Effect, Fault
from apps.sandbox.server import cut, hang

_PIECE = 16
# What comes after the first half of these isn't what would have come.
_BROKEN_WITHIN = (Effect.CUT_WITHIN, Effect.STALL)
_WENT_WRONG = {
    "message": "The server had an error while processing your request. Sorry about that!",
    "type": "server_error",
    "param": None,
    "code": None,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One valid call: `name` is the model's or the deployment's as the client calls it."""

    request: web.Request
    provider: Provider
    name: str
    body: dict[str, Any]
    request_id: str = field(default_factory=lambda: f"req_{uuid.uuid4().hex}")


async def reply(call: Call, document: dict[str, Any], fault: Fault) -> web.StreamResponse:
    """One JSON document."""
    if fault.effect is Effect.CUT_AFTER:
        return await cut(call.request)
    body = json.dumps(document, separators=(",", ":")).encode()
    middle = len(body) // 2
    headers = {"x-request-id": call.request_id, "openai-processing-ms": str(round(fault.delay * 1000))}
    if fault.effect in (Effect.MALFORMED, Effect.ENDS_EARLY):
        body = body[:middle]
    elif fault.effect is Effect.TRICKLE or fault.effect in _BROKEN_WITHIN:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        pieces = _pieces(body) if fault.effect is Effect.TRICKLE else [body[:middle]]
        return await _send(call, headers, list(pieces), fault)
    return web.Response(body=body, content_type="application/json", headers=headers)


async def stream(call: Call, parts: list[bytes], fault: Fault) -> web.StreamResponse:
    """Events; what goes wrong in the course of them does so after half."""
    middle = len(parts) // 2
    match fault.effect:
        case Effect.MALFORMED:
            parts[middle] = b'data: {"id": \n\n'
        case Effect.ERROR_EVENT:
            parts[middle:] = [b"data: " + json.dumps({"error": _WENT_WRONG}).encode() + b"\n\n"]
        case Effect.ENDS_EARLY | Effect.CUT_AFTER | Effect.STALL:
            del parts[middle:]
        case Effect.CUT_WITHIN:
            parts[middle:] = [parts[middle][:_PIECE]]
        case Effect.TRICKLE:
            parts = list(_pieces(b"".join(parts)))
    headers = {"Content-Type": "text/event-stream; charset=utf-8", "x-request-id": call.request_id}
    return await _send(call, headers, parts, fault)


async def _send(
    call: Call, headers: dict[str, str], parts: Sequence[bytes], fault: Fault
) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    await response.prepare(call.request)
    for part in parts:
        await response.write(part)
        if fault.stream_gap:
            await asyncio.sleep(fault.stream_gap)
    match fault.effect:
        case Effect.CUT_AFTER | Effect.CUT_WITHIN:
            return await cut(call.request)
        case Effect.STALL:
            return await hang()
    await response.write_eof()
    return response


def _pieces(whole: bytes) -> Iterator[bytes]:
    for start in range(0, len(whole), _PIECE):
        yield whole[start : start + _PIECE]
