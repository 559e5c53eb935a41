"""Send spans to a collector over OTLP/HTTP, where the environment names one.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set: then the exporter isn't
even imported. Everything else is configured by OpenTelemetry's own names (OTEL_SERVICE_NAME,
OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS…).
"""

import os
import socket

from celery.signals import worker_init
from opentelemetry import trace

from apps.operations.tracing import is_on

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def begin() -> None:
    """Have this process send its spans, in batches, the last one at its exit; nothing where none is wanted.

    To be called once the process is forked, or before: the exporter starts its thread anew in a child.
    """
    if is_on() or not any(os.environ.get(name) for name in _ENDPOINTS) or _is_disabled():
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    process = os.environ.get("SUPERVISOR_PROCESS_NAME", "huntaze")
    resource = {
        "service.name": "huntaze",
        "service.instance.id": f"{process}@{socket.gethostname()}",
        **OTELResourceDetector().detect().attributes,
    }
    provider = TracerProvider(resource=Resource.create(resource))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def _is_disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"


@worker_init.connect
def _begin_in_worker(**_: object) -> None:
    begin()
