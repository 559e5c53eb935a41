"""Hints to the workers, after the commit. One that gets lost costs seconds: the sweep finds the rows."""

from uuid import UUID

from django.db import transaction

from tasks.ai import run_generation


def hint_generation(generation_id: UUID) -> None:
    """Have a worker answer it at once."""

    # No partial: Django wants a function's name where it logs that the broker is away.
    def run() -> None:
        run_generation.delay(generation_id=str(generation_id))

    transaction.on_commit(run, robust=True)
