"""A worker that is scraped by itself."""

import os
import socket
import subprocess
import sys

import httpx2

from tests.http_client import http
from tests.scraping import Samples, read_samples
from tests.services import ROOT
from tests.waiting import wait_until

WORKER = ("celery", "-q", "-A", "huntaze", "worker", "-Q", "notifications", "-P", "threads", "-c", "1")


def read(port: int) -> Samples:
    """What the worker serves; nothing before it does."""
    try:
        return read_samples(http.get(f"http://127.0.0.1:{port}/metrics").raise_for_status().text)
    except httpx2.TransportError:
        return {}


def test_a_worker_serves_what_it_has_counted_and_asks_the_database_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    environment = {**os.environ, "HUNTAZE_METRICS_PORT": str(port)}
    command = [sys.executable, "-m", *WORKER]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            found = wait_until(lambda: read(port), seconds=60, what="the worker's metrics")
        finally:
            process.terminate()
            process.wait()
    assert ("huntaze_ai_overhead_seconds_count",) in found
    assert not any(key[0] == "huntaze_messages" for key in found)
