"""Put the gateway together."""

from pathlib import Path

from aiohttp import web

from apps.sandbox.fault_routes import FaultDesk
from apps.sandbox.gateway.inspection import Inspection
from apps.sandbox.gateway.ledger import Ledger
from apps.sandbox.gateway.routes import Gateway
from apps.sandbox.gateway.settings import read_gateway_faults
from apps.sandbox.server import MAX_BODY_BYTES, json_errors, json_response


def make_gateway_app(*, data: Path) -> web.Application:
    """The gateway over the ledger in the folder `data`. Raises JournalError."""
    ledger = Ledger(data)
    desk = FaultDesk(read_gateway_faults)
    app = web.Application(middlewares=[json_errors], client_max_size=MAX_BODY_BYTES)
    app.add_routes(
        [
            *Gateway(ledger=ledger, desk=desk).routes(),
            *Inspection(ledger).routes(),
            *desk.routes(),
            web.get("/health", _health),
        ]
    )

    async def close(_: web.Application) -> None:
        ledger.close()

    app.on_cleanup.append(close)
    return app


async def _health(request: web.Request) -> web.Response:
    return json_response({"status": "ok", "server": "gateway"})
