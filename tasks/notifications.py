"""The queue `notifications`: alerts on their way out."""

from collections import defaultdict
from threading import BoundedSemaphore

from django.utils import timezone

from apps.notifications.models import Channel
from apps.notifications.services import sending
from huntaze.celery import app
from tasks.base import Tick

# Threads of a process that one channel may take, so that a mail server that hangs leaves Slack its turn.
_AT_A_TIME = 2
_turns: defaultdict[Channel, BoundedSemaphore] = defaultdict(lambda: BoundedSemaphore(_AT_A_TIME))


@app.task(base=Tick)
def send_due(*, channel: str) -> None:
    """Send what is due on a channel."""
    turn = _turns[Channel(channel)]
    if not turn.acquire(blocking=False):
        return
    try:
        sending.send_due(channel=Channel(channel), clock=timezone.now)
    finally:
        turn.release()
