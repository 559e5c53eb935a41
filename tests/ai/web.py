"""The web server as it runs in production, in processes of its own, with the stand-in for its providers."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx2

from tests.conftest import Sandbox
from tests.http_client import http
from tests.services import ROOT
from tests.waiting import wait_until


@contextmanager
def python(*module: str, environment: Mapping[str, str]) -> Iterator[None]:
    """Run a module until the end of the block, then ask it to end, and wait."""
    with subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, env=environment) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def environment(sandbox: Sandbox, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "OPENAI_BASE_URL": f"{sandbox.url}/openai/v1",
        "OPENAI_API_KEY": "sandbox",
        "AZURE_OPENAI_ENDPOINT": f"{sandbox.url}/azure",
        "AZURE_OPENAI_API_KEY": "sandbox",
        **more,
    }


@contextmanager
def web(environment: Mapping[str, str]) -> Iterator[str]:
    """Its address, once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = ("gunicorn", "huntaze.wsgi", "--worker-class", "gthread", "--threads", "32")
    with python(*server, "--bind", f"127.0.0.1:{port}", "--no-control-socket", environment=environment):
        wait_until(lambda: _answers(url), seconds=60, what="the web server")
        yield url


def _answers(url: str) -> bool:
    try:
        return http.get(f"{url}/api/schema", timeout=5).is_success
    except httpx2.TransportError:
        return False
