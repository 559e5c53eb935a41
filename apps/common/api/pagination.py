from typing import Any
from uuid import UUID

from rest_framework import pagination
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request


class CursorPagination(pagination.CursorPagination):
    """Newest first by default; `?limit=` up to 200. Ids are ordered by time, so they make the cursor."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200

    def get_page_size(self, request: Request) -> int:
        given = request.query_params.get("limit", str(self.page_size))
        if not (given.isascii() and given.isdigit() and len(given) < 10 and int(given) > 0):
            raise ValidationError({"limit": ["Give a whole number from 1 to 200."]})
        return min(int(given), self.max_page_size)

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
