"""A trace from the API to the provider, as a collector receives it from the processes that took part."""

from typing import Any

import pytest

from apps.ai.models import Generation, GenerationState
from apps.tenants.keys import create_api_key
from apps.tenants.models import Role, Tenant
from apps.tenants.system import system_transaction
from huntaze.celery import app
from tests.ai.web import environment, python, web
from tests.conftest import Sandbox
from tests.http_client import http
from tests.tracing import Collector, collector
from tests.waiting import wait_until

WORKER = ("celery", "-q", "-A", "huntaze", "worker", "-Q", "ai", "-P", "threads", "-c", "2")
QUESTION = {"task": "caption", "input": "Three photographs from the lake."}


def ask(url: str, tenant: Tenant) -> str:
    """Leave a question to the workers, and wait until it is answered."""
    with system_transaction():
        _, key = create_api_key(tenant=tenant, role=Role.OWNER)
    headers = {"Authorization": f"Bearer {key}", "Prefer": "respond-async"}
    accepted = http.post(f"{url}/api/ai-assistant/generate", json=QUESTION, headers=headers, timeout=20)
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
    # What other tests have hinted at would be taken for the hint at this question.
    app.control.purge()
    with collector() as received:
        given = environment(
            ai_process,
            OTEL_EXPORTER_OTLP_ENDPOINT=received.url,
            # Longer than the test: what arrives was sent at the processes' end.
            OTEL_BSP_SCHEDULE_DELAY="600000",
        )
        with web(given) as url, python(*WORKER, environment=given):
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
