"""Dispatch as it is usually built: one Celery task per message, the ORM, `limits`, and an HTTP client.

It has the best of everything that such a design can have: kept connections to PostgreSQL, Redis and the
gateway, no transactions around statements, no policies in the database, no results, tasks acknowledged early
and fetched ahead. Run as a program it publishes a task for every queued message, to a queue that no worker
takes from until it is renamed.
"""

import os
from datetime import datetime, timedelta
from pathlib import Path

import django
import httpx2
from celery import Celery
from celery.signals import worker_process_init, worker_ready
from django.conf import settings
from django.utils import timezone
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

QUEUE, HELD = "peer-messages", "peer-held"
WIDE = 1_000_000

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "huntaze.settings")
# A gevent worker runs each task in a new greenlet, to which Django would give a connection of its own: a pool
# keeps them there. Elsewhere each thread keeps its own, which Celery would close before and after every task.
_pooled = os.environ.get("PEER_POOL") == "gevent"
if not _pooled:
    settings.DATABASES["default"]["OPTIONS"].pop("pool", None)
    settings.DATABASES["default"]["CONN_MAX_AGE"] = None
django.setup()

from apps.messaging.models import Message, MessageState  # noqa: E402 -- models need Django set up

app = Celery("peer", broker=settings.CELERY_BROKER_URL)
app.conf.update(task_default_queue=QUEUE, task_ignore_result=True)
if not _pooled:
    app.conf["CELERY_DB_REUSE_MAX"] = 1_000_000_000
_limit = RateLimitItemPerMinute(WIDE)
_clients: dict[int, httpx2.Client] = {}
_limiters: dict[int, MovingWindowRateLimiter] = {}


@worker_process_init.connect
def _connect(**_: object) -> None:
    """Connections of this process's own, kept as long as it lives."""
    pid = os.getpid()
    if pid not in _clients:
        _limiters[pid] = MovingWindowRateLimiter(RedisStorage(os.environ["PEER_LIMITS_URL"]))
        _clients[pid] = httpx2.Client(
            base_url=settings.ONLYFANS_API_URL,
            timeout=10,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
        )


@worker_ready.connect
def _say_ready(**_: object) -> None:
    Path(os.environ["PEER_READY"]).touch()


@app.task(name="peer.send_message")
def send_message(message_id: str) -> None:
    """Load it, take a slot of every layer, send it, note that."""
    _connect()
    message = Message.objects.select_related("account", "fan").get(pk=message_id)
    layers = (
        ("global",),
        ("tenant", str(message.tenant_id)),
        ("account", str(message.account_id)),
        ("recipient", str(message.fan_id)),
    )
    if not all(_limiters[os.getpid()].hit(_limit, *layer) for layer in layers):
        send_message.apply_async((message_id,), countdown=1)
        return
    now = timezone.now()
    Message.objects.filter(pk=message_id).update(state=MessageState.SENDING, **_lease(now))
    account = message.account
    answer = _clients[os.getpid()].post(
        f"/accounts/{account.external_id}/chats/{message.fan.external_id}/messages",
        json={"text": message.text, "price": None, "media": message.media},
        headers={"Authorization": f"Bearer {account.credential}", "Idempotency-Key": message_id},
    )
    answer.raise_for_status()
    now = timezone.now()
    Message.objects.filter(pk=message_id).update(
        state=MessageState.SENT, sent_at=now, finished_at=now, platform_id=answer.json()["id"]
    )


def _lease(now: datetime) -> dict[str, object]:
    """What the table asks of a message that is being sent."""
    return {"lease_expires_at": now + timedelta(seconds=30), "send_by": now, "started_at": now}


def publish() -> None:
    found = Message.objects.filter(state=MessageState.QUEUED).order_by("pk").values_list("pk", flat=True)
    with app.producer_pool.acquire(block=True) as producer:
        for message_id in found:
            send_message.apply_async((str(message_id),), producer=producer, queue=HELD)


if __name__ == "__main__":
    publish()
