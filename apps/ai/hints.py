from uuid import UUID

from tasks.ai import advance_optimisation, run_generation
from tasks.base import hint_on_commit


def hint_generation(generation_id: UUID) -> None:
    """Have a worker answer it at once."""
    hint_on_commit(run_generation, generation_id=str(generation_id))


def hint_optimisation() -> None:
    """Have the analyses that wait, and what becomes of replays, looked at at once."""
    hint_on_commit(advance_optimisation)
