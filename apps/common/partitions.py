"""Indexes of a partitioned table as a migration operation."""

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation

_WITHOUT_IT = """
SELECT relid::regclass::text FROM pg_partition_tree(%s) WHERE isleaf AND NOT EXISTS (
    SELECT FROM pg_inherits JOIN pg_index ON indexrelid = inhrelid
    WHERE inhparent = %s::regclass AND indrelid = relid
)
"""
_HALF_MADE = "SELECT FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid"


class IndexPartitions(Operation):
    """Add an index to each partition while it is written to, which `CREATE INDEX` of the whole would prevent.

    For migrations that aren't atomic. One that was killed goes on where it was. Partitions that are made
    meanwhile get the index from the table.
    """

    reversible = True

    def __init__(self, table: str, name: str, definition: str, *, unique: bool = False) -> None:
        self.table, self.name, self.definition, self.unique = table, name, definition, unique

    def state_forwards(self, app_label: str, state: Any) -> None:
        pass

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        kind = "UNIQUE INDEX" if self.unique else "INDEX"
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(f"CREATE {kind} IF NOT EXISTS {self.name} ON ONLY {self.table} {self.definition}")
            cursor.execute(_WITHOUT_IT, [self.table, self.name])
            for (partition,) in cursor.fetchall():
                own = f"{partition}_{self.name.rpartition('_')[2]}"
                cursor.execute(_HALF_MADE, [own])
                if cursor.fetchone() is not None:
                    cursor.execute(f"DROP INDEX {own}")
                cursor.execute(
                    f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {own} ON {partition} {self.definition}"
                )
                cursor.execute(f"ALTER INDEX {self.name} ATTACH PARTITION {own}")

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        schema_editor.execute(f"DROP INDEX {self.name}")

    def deconstruct(self) -> tuple[str, list[str], dict[str, bool]]:
        return (
            self.__class__.__qualname__,
            [self.table, self.name, self.definition],
            {"unique": self.unique},
        )

    def describe(self) -> str:
        return f"Index {self.table} by {self.name}"
