"""Spans as tests see them: kept in this process, or received over OTLP as a collector receives them."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@cache
def _provider() -> tuple[TracerProvider, InMemorySpanExporter]:
    """One per process: whoever has asked a provider for a tracer keeps it."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


class Kept:
    """The spans that have ended since the test's beginning."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def named(self, name: str) -> ReadableSpan:
        (found,) = [each for each in self._exporter.get_finished_spans() if each.name == name]
        return found

    @property
    def names(self) -> list[str]:
        return [each.name for each in self._exporter.get_finished_spans()]


def keep_spans(patch: pytest.MonkeyPatch) -> Kept:
    """Switch spans on, for as long as the patch lasts."""
    provider, exporter = _provider()
    exporter.clear()
    patch.setattr(trace, "_TRACER_PROVIDER", provider)
    return Kept(exporter)


@dataclass(frozen=True)
class Received:
    name: str
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    service: str
    attributes: dict[str, Any]


@dataclass
class Collector:
    """An OTLP/HTTP receiver on this machine."""

    url: str = ""
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)

    @property
    def spans(self) -> list[Received]:
        return [
            Received(
                span.name,
                span.trace_id,
                span.span_id,
                span.parent_span_id,
                _attributes(resource.resource.attributes).get("service.name", ""),
                _attributes(span.attributes),
            )
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


def _attributes(pairs: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in pairs}


@contextmanager
def collector() -> Iterator[Collector]:
    received = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            received.requests.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        received.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()
