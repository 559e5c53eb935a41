"""The door through which a tenant's work reaches the database. The system's is apps/tenants/system.py."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from psycopg_pool import PoolTimeout

from apps.common.connections import Sent, renew_connections, row_of
from apps.tenants.models import Tenant

_Asked = TypeVar("_Asked")


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
        if not may_retry or not _is_dead(error):
            raise
        renew_connections()
        _enter(stack, scope, may_retry=False)


def _is_dead(error: Exception) -> bool:
    """Whether it was the connection that failed, and not what it was asked."""
    return not isinstance(error.__cause__, PoolTimeout) and not connection.is_usable()


@contextmanager
def tenant_transaction(tenant: Tenant | UUID) -> Iterator[None]:
    """A transaction that sees and writes the rows of one tenant only."""
    tenant_id = tenant.pk if isinstance(tenant, Tenant) else tenant
    with scoped_transaction(Scope(tenant_id=str(tenant_id))):
        yield


def call_for_tenant(tenant: Tenant | UUID, function: str, *arguments: Any) -> dict[str, Any]:
    """Call an SQL function whose first parameter is the tenant, in one round trip, a transaction of its own.

    Returns the columns of the row that it answers; it is committed by then. The call is sent again if the
    connection turns out to be dead, perhaps after it was carried out: the function has to answer the same to
    a call that it knows already. It has to be in PL/pgSQL: one in SQL may become part of the statement, which
    may look at policies before the scope is set. Inside a transaction, whoever's that is, the call is a
    savepoint in this tenant's scope, as `tenant_transaction` is, and is committed with the rest.
    """
    return _call(row_of, tenant, function, arguments)


def send_for_tenant(tenant: Tenant | UUID, function: str, *arguments: Any) -> Sent:
    """`call_for_tenant` in two halves. It is committed when the row has come."""
    return _call(Sent, tenant, function, arguments)


def _call(
    ask: Callable[[str, list[Any]], _Asked],
    tenant: Tenant | UUID,
    function: str,
    arguments: Sequence[Any],
) -> _Asked:
    tenant_id = tenant.pk if isinstance(tenant, Tenant) else tenant
    with tenant_transaction(tenant_id) if connection.in_atomic_block else nullcontext():
        return ask(_statement(function, len(arguments)), [str(tenant_id), *arguments])


@cache
def _statement(function: str, arguments: int) -> str:
    # The function takes the tenant from the row that setting the scope answers, so it can't run before the
    # scope is set; and its own statements, with their policies, begin when it runs.
    given = ", %s" * arguments
    return (
        "SELECT called.* FROM set_config('huntaze.tenant_id', %s, true) AS scope,"  # noqa: S608  # no data in it
        f" LATERAL {function}(scope::uuid{given}) AS called"
    )
