from uuid import UUID

from django.utils import timezone

from apps.ai.services import generations
from huntaze.celery import app
from tasks.base import Tick, hint


@app.task
def run_generation(*, generation_id: str) -> None:
    """Answer one generation; a campaign that waits for it is told."""
    finished = generations.run_generation(generation_id=UUID(generation_id), clock=timezone.now)
    if finished and finished.campaign_id:
        app.send_task("tasks.campaigns.advance_campaign", kwargs={"campaign_id": str(finished.campaign_id)})


@app.task(base=Tick)
def sweep_generations() -> None:
    """Hint at what nobody works on: the hint was lost, or its worker died."""
    for generation_id in generations.waiting_generations(now=timezone.now()):
        hint(run_generation, generation_id=str(generation_id))
