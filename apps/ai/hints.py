from uuid import UUID

from tasks.ai import run_analysis, run_generation
from tasks.base import hint_on_commit


def hint_generation(generation_id: UUID) -> None:
    """Have a worker answer it at once."""
    hint_on_commit(run_generation, generation_id=str(generation_id))


def hint_analysis(analysis_id: UUID) -> None:
    """Have a worker do it at once."""
    hint_on_commit(run_analysis, analysis_id=str(analysis_id))
