from django.db import connection


def give_back_connection() -> None:
    """Return this thread's database connection to the pool, before waiting on something else.

    Thousands may wait on the network at a time, on few connections. The next query takes one again. Raises
    RuntimeError inside a transaction, which must not stay open over a wait.
    """
    if connection.in_atomic_block:
        raise RuntimeError("A transaction is open: commit it before waiting on the network.")
    if connection.connection is not None:
        connection.close()
