from typing import Any
from uuid import UUID

from rest_framework import pagination
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request


class CursorPagination(pagination.CursorPagination):
    """Newest first by default; `?limit=` from 1 to 200. Ids are ordered by time, so they make the cursor."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200

    def get_page_size(self, request: Request) -> int:
        given = request.query_params.get("limit", str(self.page_size))
        size = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
        if not 1 <= size <= self.max_page_size:
            raise ValidationError({"limit": [f"Give a whole number from 1 to {self.max_page_size}."]})
        return size

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        cursor, limit = super().get_schema_operation_parameters(view)
        bounds = {"minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        return [
            {**cursor, "description": "Of the links `next` and `previous`."},
            {**limit, "description": "Results of a page.", "schema": {**limit["schema"], **bounds}},
        ]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        # As of the only page, since an example of one path would be shown at all of them.
        link = {"type": "string", "format": "uri", "nullable": True, "example": None}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": {**link, "description": "The next page, to be followed as it is; null: the last."},
                "previous": {**link, "description": "The page before; null: this is the first."},
                "results": schema,
            },
        }

    def decode_cursor(self, request: Request) -> Any:
        try:
            cursor = super().decode_cursor(request)
            if cursor and cursor.position is not None:
                UUID(str(cursor.position))
            if cursor and not any(cursor):
                raise ValueError("nothing was left of it after decoding")
        except (NotFound, ValueError):
            message = "This is no cursor of this list: follow the links `next` and `previous`."
            raise ValidationError({"cursor": [message]}) from None
        return cursor
