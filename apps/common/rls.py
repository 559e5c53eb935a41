"""Row-level security as a migration operation."""

from django.db.migrations.operations import RunSQL


class IsolateTenants(RunSQL):
    """Let the application see only its tenant's rows of a table, and the system role all of them.

    The tenant is the transaction's setting `huntaze.tenant_id` (apps/tenants/doors.py); where it isn't set,
    nothing is visible. The owner, who runs migrations, is not subject to policies; start-up refuses it as
    the application's role.
    """

    def __init__(self, table: str, *, column: str = "tenant_id") -> None:
        self.table, self.column = table, column
        mine = f"{column} = (SELECT nullif(current_setting('huntaze.tenant_id', true), '')::uuid)"
        super().__init__(
            sql=[
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
                f"CREATE POLICY tenant ON {table} TO huntaze_app USING ({mine}) WITH CHECK ({mine})",
                f"CREATE POLICY system ON {table} TO huntaze_system USING (true) WITH CHECK (true)",
            ],
            reverse_sql=[
                f"DROP POLICY tenant ON {table}",
                f"DROP POLICY system ON {table}",
                f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
            ],
        )

    def deconstruct(self) -> tuple[str, list[str], dict[str, str]]:
        return (self.__class__.__qualname__, [self.table], {"column": self.column})

    def describe(self) -> str:
        return f"Isolate the tenants' rows of {self.table}"


class SystemOnly(RunSQL):
    """Hide a table from tenants altogether: only the system role sees its rows."""

    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__(
            sql=[
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
                f"CREATE POLICY system ON {table} TO huntaze_system USING (true) WITH CHECK (true)",
            ],
            reverse_sql=[
                f"DROP POLICY system ON {table}",
                f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
            ],
        )

    def deconstruct(self) -> tuple[str, list[str], dict[str, str]]:
        return (self.__class__.__qualname__, [self.table], {})

    def describe(self) -> str:
        return f"Show {self.table} to the system role only"


class ReadOnlyForTenants(RunSQL):
    """Let tenants read a table that all of them share, and the system role write it."""

    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__(
            sql=f"REVOKE INSERT, UPDATE, DELETE ON {table} FROM huntaze_app",
            reverse_sql=f"GRANT INSERT, UPDATE, DELETE ON {table} TO huntaze_app",
        )

    def deconstruct(self) -> tuple[str, list[str], dict[str, str]]:
        return (self.__class__.__qualname__, [self.table], {})

    def describe(self) -> str:
        return f"Let tenants only read {self.table}"
