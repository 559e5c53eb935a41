from rest_framework import pagination


class CursorPagination(pagination.CursorPagination):
    """Newest first by default; `?limit=` up to 200. Ids are ordered by time, so they make the cursor."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200
