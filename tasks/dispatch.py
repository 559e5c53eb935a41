"""The queue `dispatch`: claims, batches, sweeps."""

from uuid import UUID

from django.utils import timezone

from apps.messaging.services import claim, send, sweep
from huntaze.celery import app
from tasks.base import Tick


@app.task(base=Tick)
def claim_due_messages() -> None:
    """Grant what is due and send it; where more may be due, look again at once."""
    found = claim.claim_messages(now=timezone.now())
    if found.message_ids:
        send_batch.delay(message_ids=[str(message_id) for message_id in found.message_ids])
    if found.more:
        claim_due_messages.delay()


@app.task
def send_batch(message_ids: list[str]) -> None:
    send.send_batch(message_ids=[UUID(message_id) for message_id in message_ids], now=timezone.now())


@app.task(base=Tick)
def sweep_messages() -> None:
    sweep.sweep_messages(now=timezone.now())
