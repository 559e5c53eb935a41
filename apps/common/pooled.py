"""What the pool of connections to PostgreSQL is made of. The settings name it, so it knows no Django."""

from typing import Any

from psycopg import Connection, Cursor
from psycopg.rows import dict_row


class KeepingConnection(Connection[Any]):
    """Keeps a cursor for each of the few statements that are sent again and again.

    Such a cursor knows how to write the statement's values and how to read its answer's. It also refers to
    its connection, and the collector, which we let run seldom, would have to free both: so they go with its
    end.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._kept: dict[str, Cursor[dict[str, Any]]] = {}

    def cursor_of(self, statement: str) -> Cursor[dict[str, Any]]:
        if (cursor := self._kept.get(statement)) is None:
            cursor = self._kept[statement] = Cursor(self, row_factory=dict_row)
        return cursor

    def close(self) -> None:
        self._kept.clear()
        super().close()
