"""`GET`, `PUT` and `DELETE /faults`, the same on both servers."""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from aiohttp import web

from apps.sandbox.fault_documents import FaultDocumentError
from apps.sandbox.server import json_response, read_json_object

Read = TypeVar("Read")


class FaultDesk(Generic[Read]):
    """Holds the faults in force, as the document that was put and as what `read` made of it."""

    def __init__(self, read: Callable[[Mapping[str, Any]], Read]) -> None:
        self._read = read
        self._document: Mapping[str, Any] = {}
        self.current = read({})

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/faults", self._get),
            web.put("/faults", self._put),
            web.delete("/faults", self._delete),
        ]

    async def _get(self, request: web.Request) -> web.Response:
        return json_response(self._document)

    async def _put(self, request: web.Request) -> web.Response:
        document = await read_json_object(request)
        if document is None:
            return _refusal("the body must be a JSON object")
        try:
            self.current = self._read(document)
        except FaultDocumentError as error:
            return _refusal(str(error))
        self._document = document
        return json_response(document)

    async def _delete(self, request: web.Request) -> web.Response:
        self._document = {}
        self.current = self._read({})
        return json_response({})


def _refusal(message: str) -> web.Response:
    return json_response({"error": {"code": "invalid_faults", "message": message}}, status=422)
