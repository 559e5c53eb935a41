"""What every task shares: structured logs, the caller's trace, retries, and a place for the failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import celery
import structlog
from celery.exceptions import TaskPredicate
from celery.signals import before_task_publish
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from kombu.exceptions import OperationalError as BrokerError
from opentelemetry import propagate
from opentelemetry.trace import SpanKind

from apps.operations import tracing
from apps.operations.services import dead_letters

log = structlog.get_logger(__name__)

# A database or broker that is away for a moment. Anything else is a bug or a refusal: retrying won't help.
TRANSIENT = (OperationalError, InterfaceError, BrokerError, ConnectionError, TimeoutError)


@before_task_publish.connect
def _carry_trace(headers: dict[str, Any] | None = None, **_: object) -> None:
    """Send the open span along with the task, as `traceparent`; nothing where there is none."""
    if headers is not None:
        propagate.inject(headers)


class Task(celery.Task):  # type: ignore[type-arg]  # generic in the stubs alone
    """Retries what is transient, then leaves a DeadLetter that can be replayed from the admin."""

    autoretry_for: tuple[type[Exception], ...] = TRANSIENT
    max_retries = 5
    retry_backoff = True
    retry_backoff_max = int(timedelta(seconds=30).total_seconds())
    retry_jitter = True

    # Whether each run is a span.
    traced = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with (
            tracing.continued(self.request.headers or {}),
            structlog.contextvars.bound_contextvars(task=self.name, **_ids(kwargs)),
            self._span(kwargs),
        ):
            return super().__call__(*args, **kwargs)

    @contextmanager
    def _span(self, kwargs: dict[str, Any]) -> Iterator[None]:
        """One run in the trace of whoever sent the task; a run that will be tried again hasn't failed."""
        if not self.traced or not tracing.is_on():
            yield
            return
        with tracing.span(f"process {self.name}", kind=SpanKind.CONSUMER, control=(TaskPredicate,)) as opened:
            opened.set_attributes(
                {
                    "messaging.system": "celery",
                    "messaging.operation.type": "process",
                    "messaging.destination.name": (self.request.delivery_info or {}).get("routing_key") or "",
                    "messaging.message.id": self.request.id or "",
                    "huntaze.task.retries": self.request.retries,
                    **{f"huntaze.{name}": value for name, value in _ids(kwargs).items()},
                }
            )
            yield

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        log.error("task.failed", task=self.name, error=str(exc), attempts=self.request.retries + 1)
        try:
            dead_letters.record(
                task=self.name,
                task_id=task_id,
                queue=(self.request.delivery_info or {}).get("routing_key") or "",
                args=list(args),
                kwargs=dict(kwargs),
                error=f"{type(exc).__name__}: {exc}",
                traceback=str(einfo.traceback),
                attempts=self.request.retries + 1,
            )
        except DatabaseError as error:
            # Mostly what the task failed of. The rows that it was about are still there, for a sweep.
            log.error("dead_letter.lost", task=self.name, args=args, kwargs=kwargs, error=str(error))


class Tick(Task):
    """A task that beat sends again shortly anyway: a failure is logged, not kept."""

    autoretry_for = ()
    max_retries = 0
    # Nobody's trace, every second.
    traced = False

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        log.error("tick.failed", task=self.name, error=f"{type(exc).__name__}: {exc}")


def hint(task: "celery.Task[Any, Any]", **kwargs: str) -> None:
    """Send a task for a row that a sweep has found, to expire when the next sweep sends another one.

    Otherwise a queue that is behind would fill with repetitions.
    """
    task.apply_async((), kwargs, expires=settings.SWEEP_INTERVAL.total_seconds())


def hint_on_commit(task: "celery.Task[Any, Any]", **kwargs: str) -> None:
    """Send a task for a row, once that is committed. Lost, it costs seconds: a sweep finds the row."""

    # No partial: Django wants a function's name where it logs that the broker is away.
    def send() -> None:
        task.delay(**kwargs)

    transaction.on_commit(send, robust=True)


def _ids(kwargs: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in kwargs.items() if key.endswith("_id")}
