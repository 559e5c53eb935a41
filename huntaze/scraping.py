"""Let Prometheus read a worker that shares no folder of counts with a web server.

On one machine PROMETHEUS_MULTIPROC_DIR names a folder for all processes, and `/api/metrics` adds them up. A
worker in a container of its own serves what it has counted at HUNTAZE_METRICS_PORT; what only the database
knows stays with the web servers.
"""

import os

import structlog
from celery.signals import worker_ready
from prometheus_client import CollectorRegistry, start_http_server

log = structlog.get_logger(__name__)


@worker_ready.connect
def _serve_counts(**_: object) -> None:
    port = os.environ.get("HUNTAZE_METRICS_PORT")
    if not port:
        return
    from apps.operations.metrics import CountCollector  # which needs Django's settings

    registry = CollectorRegistry()
    registry.register(CountCollector())
    start_http_server(int(port), registry=registry)
    log.info("metrics.served", port=int(port))
