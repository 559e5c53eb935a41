"""Is everything that we need there? Asked often and in bad times, so every question has its time-out."""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from threading import Lock
from typing import Any, Generic, TypeVar

import amqp
import kombu
import psycopg
import redis
import structlog
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from kombu.exceptions import OperationalError as BrokerError

from apps.operations.probes import health_checks
from apps.tenants.roles import refuse_powerful_role

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

# For one connection. The broker's client tries several times, and libpq knows no shorter time than 2 s.
TIMEOUT = timedelta(seconds=1)
_LIBPQ_SECONDS = 2
# For everything: a name server that doesn't answer knows no time-out of ours.
DEADLINE = timedelta(seconds=4)
# How long an answer serves those who ask after it.
FRESH = timedelta(seconds=1)
# Checks that hang keep their threads until their own time-outs; then further ones are reported as down.
_THREADS = 8
BROKER_ERRORS = (BrokerError, redis.RedisError, amqp.AMQPError, OSError)


@dataclass(frozen=True)
class Health:
    """What is down, and in a word why; the rest is well, be it with a remark."""

    down: dict[str, str]
    checks: dict[str, str]


class Recent(Generic[Answer]):
    """An answer as it was at most FRESH ago: who asks while others do shares it.

    The paths of probes are open to all, and each check opens connections of its own: however many ask, one
    check a second is what the dependencies see of a process.
    """

    def __init__(self, ask: Callable[[], Answer]) -> None:
        self._ask = ask
        self._lock = Lock()
        self._at = -math.inf
        self._answers: list[Answer] = []

    def get(self) -> Answer:
        with self._lock:
            if time.monotonic() - self._at >= FRESH.total_seconds():
                self._answers = [self._ask()]
                self._at = time.monotonic()
            return self._answers[0]


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="health")


def check_health() -> Health:
    """Ask everything at once. Answers within DEADLINE, raises nothing."""
    futures = {name: _pool().submit(check) for name, check in health_checks.items()}
    wait(futures.values(), timeout=DEADLINE.total_seconds())
    down = {}
    for name, future in futures.items():
        if not future.done():
            future.cancel()
            down[name] = f"no answer within {DEADLINE.total_seconds():.0f} s"
        elif error := future.exception():
            # The words may hold addresses, which the answer, open to all, must not.
            log.warning("health.down", dependency=name, error=f"{type(error).__name__}: {error}")
            down[name] = str(error) if isinstance(error, NotReadyError) else "does not answer"
    remarks = {name: future.result() for name, future in futures.items() if name not in down}
    checks = {name: down.get(name) or remarks.get(name) or "ok" for name in health_checks}
    return Health(down=down, checks=checks)


recent_health = Recent(check_health)


class NotReadyError(Exception):
    """A dependency is there but not as it has to be; the text may be shown to everybody."""


def check_database() -> None:
    """It answers, to a role that row-level security holds for."""
    with connect_database() as database:
        problem = refuse_powerful_role(database.execute)
    if problem:
        raise NotReadyError(problem)


def check_migrations() -> None:
    with connect_database() as database:
        applied = set(database.execute("SELECT app, name FROM django_migrations").fetchall())
    if missing := _known_migrations() - applied:
        app, name = min(missing)
        raise NotReadyError(f"{len(missing)} not applied, first {app}.{name}: run manage.py migrate")


def check_redis() -> None:
    seconds = TIMEOUT.total_seconds()
    with redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=seconds, socket_connect_timeout=seconds, retry=None
    ) as client:
        client.ping()


def check_broker() -> None:
    with connect_broker() as broker, broker.channel():
        pass  # opening a channel asks the broker


@contextmanager
def connect_broker() -> Iterator[kombu.Connection]:
    """A connection to the broker that gives up soon. Raises BROKER_ERRORS."""
    seconds = TIMEOUT.total_seconds()
    if settings.CELERY_BROKER_URL.startswith("amqp"):
        options: dict[str, Any] = {"read_timeout": seconds, "write_timeout": seconds}
    else:
        options = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    with kombu.Connection(
        settings.CELERY_BROKER_URL, connect_timeout=seconds, transport_options=options
    ) as broker:
        broker.connect()
        yield broker


def connect_database() -> psycopg.Connection:
    """A connection of its own: the pool's may all be taken, which is no reason to call the database down."""
    parameters = connection.get_connection_params()
    for name in ("pool", "context", "cursor_factory", "prepare_threshold"):
        parameters.pop(name, None)
    milliseconds = int(TIMEOUT.total_seconds() * 1000)
    parameters["options"] = f"{parameters.get('options', '')} -c statement_timeout={milliseconds}"
    parameters["connect_timeout"] = _LIBPQ_SECONDS
    return psycopg.connect(**parameters)


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    """Those of the code that runs, which doesn't change while it does."""
    return frozenset(MigrationLoader(None).disk_migrations)
