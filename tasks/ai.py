from django.utils import timezone

from apps.ai.services import generations
from apps.costs.hints import hint_settled
from huntaze.celery import app
from tasks.base import Tick, hint


@app.task
def run_generation(*, generation_id: str) -> None:
    """Answer the most urgent generation: whoever hinted at another gets a turn for it in exchange.

    A campaign that waits for it is told.
    """
    done = generations.run_generation(generation_id=None, clock=timezone.now)
    if done:
        hint_settled(done.question.tenant_id)
    if done and done.question.campaign_id:
        campaign_id = str(done.question.campaign_id)
        app.send_task("tasks.campaigns.advance_campaign", kwargs={"campaign_id": campaign_id})


@app.task(base=Tick)
def sweep_generations() -> None:
    """Hint at what nobody works on: the hint was lost, or its worker died."""
    for generation_id in generations.waiting_generations(now=timezone.now()):
        hint(run_generation, generation_id=str(generation_id))
