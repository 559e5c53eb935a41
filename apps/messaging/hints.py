"""Hints to the workers, after the commit. One that gets lost costs seconds: the sweep finds the rows."""

from django.db import transaction

from tasks.dispatch import sweep_messages


def hint_resumed() -> None:
    """Have the accounts of a resumed outbox, tenant or platform woken at once."""

    # No partial: Django wants a function's name where it logs that the broker is away.
    def sweep() -> None:
        sweep_messages.delay()

    transaction.on_commit(sweep, robust=True)
