"""What a benchmark or a test asks the gateway afterwards: the audit, and the arrivals."""

import asyncio
import json
import math
from collections.abc import Iterator
from dataclasses import asdict

from aiohttp import web

from apps.sandbox.gateway.audit import judge
from apps.sandbox.gateway.errors import GatewayError
from apps.sandbox.gateway.ledger import Arrival, Ledger

_CHUNK_BYTES = 64 * 1024


class Inspection:
    """Routes that read the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/audit", self._audit),
            web.get("/arrivals", self._arrivals),
        ]

    async def _audit(self, request: web.Request) -> web.Response:
        try:
            seconds = _number(request, "seconds", 60)
            limit = _number(request, "limit", 10)
            since = _number(request, "since", 0)
        except GatewayError as error:
            return error.response()
        if seconds <= 0 or limit != int(limit):
            return GatewayError(
                422, "invalid_query", "seconds must exceed 0, and limit be a whole number"
            ).response()

        def audit() -> bytes:
            judged = judge(_since(self._ledger, since), seconds=seconds, limit=int(limit))
            return json.dumps({"since": since or None, **asdict(judged)}).encode()

        # In a thread: the server goes on while a long ledger is read.
        return web.Response(body=await asyncio.to_thread(audit), content_type="application/json")

    async def _arrivals(self, request: web.Request) -> web.StreamResponse:
        """NDJSON: the ledger's lines, of one account or later than a time if asked."""
        account = request.query.get("account")
        try:
            after = _number(request, "after", -math.inf)
        except GatewayError as error:
            return error.response()
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        buffer = bytearray()
        for line in self._ledger.lines():
            if account is None and after == -math.inf:
                buffer += line
            else:
                arrival = json.loads(line)
                if arrival["at"] > after and account in (None, arrival["account"]):
                    buffer += line
            if len(buffer) > _CHUNK_BYTES:
                await response.write(bytes(buffer))
                buffer.clear()
        await response.write(bytes(buffer))
        return response


def _since(ledger: Ledger, since: float) -> Iterator[Arrival]:
    return (arrival for arrival in ledger.arrivals() if arrival.at >= since)


def _number(request: web.Request, name: str, default: float) -> float:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise GatewayError(422, "invalid_query", f"{name} must be a number of at least 0")
    return value
