"""A trace from the API to the provider, as a collector receives it from the processes that took part."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from apps.ai.models import Generation, GenerationState
from apps.tenants.keys import create_api_key
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from tests.conftest import Sandbox
from tests.services import ROOT
from tests.tracing import Collector, collector
from tests.waiting import wait_until

WORKER = ("celery", "-q", "-A", "huntaze", "worker", "-Q", "ai", "-P", "threads", "-c", "2")
QUESTION = {"task": "caption", "input": "Three photographs from the lake."}


@contextmanager
def python(*module: str, environment: Mapping[str, str]) -> Iterator[None]:
    """Run a module until the end of the block, then ask it to end, and wait."""
    with subprocess.Popen([sys.executable, "-m", *module], cwd=ROOT, env=environment) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def answers(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/api/schema", timeout=5).is_success
    except httpx2.TransportError:
        return False


def environment(sandbox: Sandbox, received: Collector) -> dict[str, str]:
    return {
        **os.environ,
        "OPENAI_BASE_URL": f"{sandbox.url}/openai/v1",
        "OPENAI_API_KEY": "sandbox",
        "AZURE_OPENAI_ENDPOINT": f"{sandbox.url}/azure",
        "AZURE_OPENAI_API_KEY": "sandbox",
        "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
        # Longer than the test: what arrives was sent at the processes' end.
        "OTEL_BSP_SCHEDULE_DELAY": "600000",
    }


def ask(url: str, tenant: Tenant) -> str:
    """Leave a question to the workers, and wait until it is answered."""
    with system_transaction():
        _, key = create_api_key(tenant=tenant, role=Role.OWNER)
    headers = {"Authorization": f"Bearer {key}", "Prefer": "respond-async"}
    accepted = httpx2.post(f"{url}/api/ai-assistant/generate", json=QUESTION, headers=headers, timeout=20)
    assert accepted.status_code == 202, accepted.text

    def answered() -> bool:
        with system_transaction():
            return Generation.objects.get().state == GenerationState.SUCCEEDED

    wait_until(answered, seconds=60, what="the answer")
    return str(accepted.json()["id"])


@pytest.mark.django_db(transaction=True)
def test_request_task_and_attempt_are_one_trace(
    agency: Tenant, deployments: None, ai_process: Sandbox
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    web = ("gunicorn", "huntaze.wsgi", "--worker-class", "gthread", "--bind", f"127.0.0.1:{port}")
    with collector() as received:
        given = environment(ai_process, received)
        with (
            python(*web, "--no-control-socket", environment=given),
            python(*WORKER, environment=given),
        ):
            wait_until(lambda: answers(url), seconds=60, what="the web server")
            generation_id = ask(url, agency)
        spans = {each.name: each for each in received.spans}

    request = spans["POST /api/ai-assistant/generate"]
    task = spans["process tasks.ai.run_generation"]
    generation = spans["generation caption"]
    attempt = next(each for name, each in spans.items() if name.startswith("chat "))
    assert task.parent_id == request.span_id
    assert generation.parent_id == task.span_id
    assert attempt.parent_id == generation.span_id
    assert {each.trace_id for each in (request, task, generation, attempt)} == {request.trace_id}
    assert {each.service for each in spans.values()} == {"huntaze"}
    assert task.attributes["huntaze.generation_id"] == generation_id
    assert attempt.attributes["gen_ai.usage.output_tokens"] > 0
    assert_no_words(received)


def assert_no_words(received: Collector) -> None:
    sent: Any = b"".join(each.SerializeToString() for each in received.requests)
    assert b"photographs" not in sent
