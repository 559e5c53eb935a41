"""The steps of a campaign, a module each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from apps.campaigns.models import Campaign, WorkflowStep


@dataclass(frozen=True)
class StepOutcome:
    """What a step came to: done, failed for a reason, or waiting.

    `more`: there is work left that needs no waiting. `generation_ids`: pending generations to be run.
    """

    done: bool = False
    failed: str = ""
    more: bool = False
    generation_ids: list[UUID] = field(default_factory=list)


WAIT = StepOutcome()
DONE = StepOutcome(done=True)
MORE = StepOutcome(more=True)

# Called under the campaign's lock; may change the campaign and the step, which the caller saves.
Step = Callable[[Campaign, WorkflowStep, datetime], StepOutcome]
