"""How Celery speaks with Redis as its broker."""

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from celery.events import EventReceiver

from huntaze.celery import app
from tests.huntaze import unlucky_tasks
from tests.services import ROOT
from tests.waiting import wait_until

SECONDS = 30


@pytest.fixture
def channel() -> Iterator[Any]:
    with app.connection() as connection, connection.channel() as opened:
        yield opened


def test_one_client_sends_all_commands(channel: Any) -> None:
    with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
        assert first is second
        assert first.ping()


def test_a_client_of_a_pool_that_was_closed_is_replaced(channel: Any) -> None:
    with channel.conn_or_acquire() as before:
        assert before.ping()
    channel._disconnect_pools()
    with channel.conn_or_acquire() as after:
        assert after is not before
        assert after.connection_pool is channel.pool
        assert after.ping()


def test_what_listens_has_a_client_of_its_own(channel: Any) -> None:
    with channel.conn_or_acquire() as sends:
        assert channel._create_client(asynchronous=True) is not sends


class Listener(EventReceiver):
    """Counts events of tasks by type, and the messages that bring them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heard: Counter[str] = Counter()

    def _receive(self, body: Any, message: Any) -> None:
        events = body if isinstance(body, list) else [body]
        kinds = [each["type"] for each in events if each["type"].startswith("task-")]
        self.heard.update(kinds)
        self.heard["messages"] += bool(kinds)


@pytest.fixture
def heard() -> Iterator[Counter[str]]:
    """What is heard of tasks, as Flower would."""
    with app.connection() as connection:
        listener = Listener(connection, app=app)
        listening = threading.Event()

        def listen() -> None:
            context: Any = listener.consumer_context()
            with context as (own, _channel, _consumers):
                listening.set()
                while not listener.should_stop:
                    with suppress(TimeoutError):
                        own.drain_events(timeout=0.2)

        thread = threading.Thread(target=listen)
        thread.start()
        listening.wait(SECONDS)
        try:
            yield listener.heard
        finally:
            listener.should_stop = True
            thread.join()


def test_events_of_tasks_reach_flower_many_at_a_time(
    heard: Counter[str], start_worker: Callable[[], None]
) -> None:
    tasks = 100
    for _ in range(tasks):
        unlucky_tasks.sees_its_trace.delay(letter_id=str(uuid4()))
    start_worker()
    wait_until(
        lambda: heard["task-received"] == heard["task-succeeded"] == tasks,
        seconds=SECONDS,
        what=f"the events of {tasks} tasks",
    )
    assert heard["messages"] < tasks


@pytest.fixture
def start_worker() -> Iterator[Callable[[], None]]:
    command = [sys.executable, "-m", "celery", "-A", "huntaze", "worker", "-I", "tests.huntaze.unlucky_tasks"]
    options = ["-Q", "analytics", "-P", "threads", "-c", "4", "--without-gossip", "--without-mingle"]
    started = []
    yield lambda: started.append(subprocess.Popen([*command, *options], cwd=ROOT, env=os.environ))
    for worker in started:
        worker.terminate()
        worker.wait()
