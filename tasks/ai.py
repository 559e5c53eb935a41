from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from celery.signals import celeryd_after_setup
from django.utils import timezone

from apps.ai import providers
from apps.ai.services import analyses, generations, measurements, replaying
from apps.costs.hints import hint_settled
from apps.operations.services import jobs
from huntaze.celery import app
from tasks.base import Tick, hint


@celeryd_after_setup.connect
def load_providers(instance: Any, **_: object) -> None:
    """A worker of the queue loads the AI's clients before it takes work; others do without them."""
    if "ai" in instance.app.amqp.queues.consume_from:
        providers.load()


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


@app.task
def run_analysis(*, analysis_id: str) -> None:
    """Look at what a tenant has asked, for what might be had for less."""
    analyses.run_analysis(analysis_id=UUID(analysis_id), now=timezone.now())


@app.task(base=Tick)
def advance_replay(*, replay_id: str) -> None:
    """Take a replay as far as its generations have come."""
    for generation_id in replaying.advance_replay(replay_id=UUID(replay_id), now=timezone.now()):
        hint(run_generation, generation_id=str(generation_id))


@app.task(base=Tick)
def sweep_optimisation() -> None:
    """Hint at analyses that nobody works on, and at replays that haven't come to their end."""
    for analysis_id in analyses.waiting_analyses(now=timezone.now()):
        hint(run_analysis, analysis_id=str(analysis_id))
    for replay_id in replaying.open_replays():
        hint(advance_replay, replay_id=str(replay_id))


@app.task
def plan_analyses(*, period: str | None = None) -> None:
    """Once a day: leave an analysis for every tenant that asks the AI."""
    now = timezone.now()
    jobs.run_once(
        job="tasks.ai.plan_analyses",
        period=_day(period, now),
        now=now,
        work=lambda: _plan(now),
    )


@app.task
def measure_recommendations(*, period: str | None = None) -> None:
    """Once a day: compare what applied recommendations have saved with what they promised."""
    now = timezone.now()
    jobs.run_once(
        job="tasks.ai.measure_recommendations",
        period=_day(period, now),
        now=now,
        work=lambda: _measure(now),
    )


def _day(period: str | None, now: datetime) -> datetime:
    return datetime.fromisoformat(period) if period else jobs.period_start(now=now, every=timedelta(days=1))


def _plan(now: datetime) -> None:
    analyses.plan_analyses(now=now)


def _measure(now: datetime) -> None:
    measurements.measure_applied(now=now)
