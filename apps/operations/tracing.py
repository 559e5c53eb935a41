"""Spans: where they begin, and what one costs where none is wanted, which is next to nothing.

`huntaze/tracing.py` sets up where they go.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

_tracer = trace.get_tracer("huntaze")


def is_on() -> bool:
    """Whether spans go anywhere: a provider has been set."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@contextmanager
def span(
    name: str, *, kind: SpanKind = SpanKind.INTERNAL, control: tuple[type[Exception], ...] = ()
) -> Iterator[Span]:
    """A span for the block, child of the open one. An exception is its error, by type alone: its words may
    hold what somebody wrote. Those of `control` are no errors."""
    with _tracer.start_as_current_span(
        name, kind=kind, record_exception=False, set_status_on_exception=False
    ) as opened:
        try:
            yield opened
        except control:
            raise
        except BaseException as error:
            fail(opened, type(error).__name__)
            raise


def fail(opened: Span, kind: str) -> None:
    """Mark a span as failed; `kind` is an exception's name or another word out of few."""
    opened.set_attribute("error.type", kind)
    opened.set_status(Status(StatusCode.ERROR, kind))


@contextmanager
def continued(carrier: Mapping[str, str]) -> Iterator[None]:
    """Go on with the trace that headers carry (`traceparent`, W3C Trace Context)."""
    token = context.attach(propagate.extract(carrier))
    try:
        yield
    finally:
        context.detach(token)
