"""Put the providers together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from apps.sandbox.ai.errors import Provider
from apps.sandbox.ai.routes import ProviderRoutes
from apps.sandbox.ai.service import Service
from apps.sandbox.ai.usage import UsageBook
from apps.sandbox.fault_documents import read_object, read_plan
from apps.sandbox.fault_routes import FaultDesk
from apps.sandbox.faults import Effect, FaultPlan
from apps.sandbox.server import MAX_BODY_BYTES, json_errors, json_response

EFFECTS = tuple(effect for effect in Effect if effect not in (Effect.NONE, Effect.ERROR))
SELECTORS: Mapping[str, tuple[str, ...]] = {"provider": tuple(Provider), "model": ()}


def make_ai_app(*, data: Path | None = None) -> web.Application:
    """Both providers; with a folder, a journal of requests in it. Raises JournalError."""
    usage = UsageBook(data)
    desk = FaultDesk(read_ai_faults)
    app = web.Application(middlewares=[json_errors], client_max_size=MAX_BODY_BYTES)

    async def report(request: web.Request) -> web.Response:
        return json_response(usage.report())

    async def reset(request: web.Request) -> web.Response:
        usage.clear()
        return json_response({"requests": 0})

    async def health(request: web.Request) -> web.Response:
        return json_response({"status": "ok", "server": "ai"})

    async def close(_: web.Application) -> None:
        usage.close()

    app.add_routes(
        [
            *ProviderRoutes(Service(desk=desk, usage=usage)).routes(),
            *desk.routes(),
            web.get("/usage", report),
            web.post("/reset", reset),
            web.get("/health", health),
        ]
    )
    app.on_cleanup.append(close)
    return app


def read_ai_faults(document: Mapping[str, Any]) -> FaultPlan:
    """Read a document `{"seed", "rules"}`. Raises FaultDocumentError."""
    return read_plan(read_object(document, "faults", ("seed", "rules")), selectors=SELECTORS, effects=EFFECTS)
