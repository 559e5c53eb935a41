"""The door through which a tenant's work reaches the database. The system's is apps/tenants/system.py."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from psycopg_pool import PoolTimeout

from apps.tenants.models import Tenant


@dataclass(frozen=True)
class Scope:
    """Who a transaction acts for, in the terms of the database's policies."""

    role: str = "none"
    tenant_id: str = ""

    def apply(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('role', %s, true), set_config('huntaze.tenant_id', %s, true)",
                [self.role, self.tenant_id],
            )


_current: ContextVar[Scope | None] = ContextVar("scope", default=None)


@contextmanager
def scoped_transaction(scope: Scope) -> Iterator[None]:
    """A transaction in a scope; inside another one, a savepoint that gives the outer scope back."""
    nested, outer = connection.in_atomic_block, _current.get() or Scope()
    with ExitStack() as stack:
        _enter(stack, scope, may_retry=not nested)
        token = _current.set(scope)
        try:
            yield
        finally:
            _current.reset(token)
        # On an error the savepoint's roll-back restores the outer scope by itself.
        if nested and not connection.needs_rollback:
            outer.apply()


def _enter(stack: ExitStack, scope: Scope, *, may_retry: bool) -> None:
    """Open the transaction. Its first statement shows whether the pool gave us a connection that still lives.

    After a restart of the database none of the pool's do, so they all go. (The pool's own check would cost a
    round trip each time, and waits longer after each dead one: several make a request fail.)
    """
    try:
        with ExitStack() as attempt:
            attempt.enter_context(transaction.atomic())
            scope.apply()
            stack.push(attempt.pop_all())
    except (OperationalError, InterfaceError) as error:
        if not may_retry or isinstance(error.__cause__, PoolTimeout) or connection.is_usable():
            raise
        connection.close()
        connection.pool.drain()  # type: ignore[attr-defined]  # PostgreSQL's alone has one
        _enter(stack, scope, may_retry=False)


@contextmanager
def tenant_transaction(tenant: Tenant | UUID) -> Iterator[None]:
    """A transaction that sees and writes the rows of one tenant only."""
    tenant_id = tenant.pk if isinstance(tenant, Tenant) else tenant
    with scoped_transaction(Scope(tenant_id=str(tenant_id))):
        yield
