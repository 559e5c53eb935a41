"""The application's database role: row-level security has to hold for it, or tenants see one another."""

from collections.abc import Callable
from typing import Any, Protocol


class _Rows(Protocol):
    def fetchone(self) -> Any: ...


# A superuser and BYPASSRLS pass every policy; a table's owner passes its policies unless forced. Being a
# member is as bad as being one, for a member may become it by SET ROLE.
_QUERY = """
SELECT
    session_user,
    (SELECT rolsuper FROM pg_roles WHERE rolname = session_user),
    (SELECT min(rolname) FROM pg_roles
        WHERE (rolsuper OR rolbypassrls) AND pg_has_role(session_user, oid, 'MEMBER')),
    (SELECT min(relname) FROM pg_class
        WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
        AND pg_has_role(session_user, relowner, 'MEMBER'))
"""


def refuse_powerful_role(execute: Callable[[Any], _Rows]) -> str:
    """Why the connection's role may not be the application's; empty if it may."""
    role, superuser, bypasses, owned = execute(_QUERY).fetchone()
    if superuser:
        return f"the application's role {role} is a superuser"
    if bypasses:
        return f"the application's role {role} may act as {bypasses}, which bypasses row-level security"
    if owned:
        return f"the application's role {role} owns tables, among them {owned}"
    return ""
