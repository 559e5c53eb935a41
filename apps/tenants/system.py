"""The door for work that crosses tenants: claims, batches, sweeps, roll-ups, key look-up, the admin.

The import contract in pyproject.toml lists who may use it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from apps.tenants.doors import Scope, scoped_transaction


@contextmanager
def system_transaction() -> Iterator[None]:
    """A transaction that sees every tenant's rows (as the role `huntaze_system`, until its end)."""
    with scoped_transaction(Scope(role="huntaze_system")):
        yield
