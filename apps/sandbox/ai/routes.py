"""The providers' routes, as the `openai` client calls them.

OpenAI is at `/openai/v1` and names the model in the body. Azure is at `/azure` and names the deployment in
the path; a deployment is called like its model, with anything after a further hyphen (gpt-4o, gpt-4o-eu).
"""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from apps.sandbox.ai.delivery import Call
from apps.sandbox.ai.errors import Provider, ProviderError, bad_request, unauthenticated, unknown_model
from apps.sandbox.ai.models import CHAT_MODELS, EMBEDDING_MODELS, chat_model, embedding_model
from apps.sandbox.ai.service import Service
from apps.sandbox.server import json_response, read_json_object

Answer = Callable[[Call], Awaitable[web.StreamResponse]]


class ProviderRoutes:
    """Authenticate, find the model, answer."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[web.RouteDef]:
        deployment = "/azure/openai/deployments/{deployment}"
        return [
            web.post("/openai/v1/chat/completions", self._openai(self._chat)),
            web.post("/openai/v1/embeddings", self._openai(self._embeddings)),
            web.get("/openai/v1/models", _list_models),
            web.post(f"{deployment}/chat/completions", self._azure(self._chat)),
            web.post(f"{deployment}/embeddings", self._azure(self._embeddings)),
        ]

    def _openai(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                if not _bearer(request):
                    raise unauthenticated(Provider.OPENAI)
                body = await _body(request)
                name = body.get("model")
                if not isinstance(name, str) or not name:
                    raise bad_request("you must provide a model parameter", param="model")
                return await answer(Call(request, Provider.OPENAI, name, body))
            except ProviderError as error:
                return error.response(f"req_{uuid.uuid4().hex}")

        return handle

    def _azure(self, answer: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                if not (request.headers.get("api-key", "").strip() or _bearer(request)):
                    raise unauthenticated(Provider.AZURE)
                if not request.query.get("api-version"):
                    raise ProviderError(404, {"code": "404", "message": "Resource not found"})
                name = request.match_info["deployment"]
                return await answer(Call(request, Provider.AZURE, name, await _body(request)))
            except ProviderError as error:
                return error.response(f"req_{uuid.uuid4().hex}")

        return handle

    async def _chat(self, call: Call) -> web.StreamResponse:
        model = chat_model(call.name, deployment=call.provider is Provider.AZURE)
        if model is None:
            raise unknown_model(call.provider, call.name)
        return await self._service.chat(call, model)

    async def _embeddings(self, call: Call) -> web.StreamResponse:
        model = embedding_model(call.name, deployment=call.provider is Provider.AZURE)
        if model is None:
            raise unknown_model(call.provider, call.name)
        return await self._service.embeddings(call, model)


def _bearer(request: web.Request) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and bool(token.strip())


async def _body(request: web.Request) -> dict[str, Any]:
    body = await read_json_object(request)
    if body is None:
        raise bad_request("We could not parse the JSON body of your request: it must be a JSON object.")
    return body


async def _list_models(request: web.Request) -> web.Response:
    if not _bearer(request):
        return unauthenticated(Provider.OPENAI).response(f"req_{uuid.uuid4().hex}")
    models = [
        {"id": name, "object": "model", "created": 0, "owned_by": "sandbox"}
        for name in (*CHAT_MODELS, *EMBEDDING_MODELS)
    ]
    return json_response({"object": "list", "data": models})
