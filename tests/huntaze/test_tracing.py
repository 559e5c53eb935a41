"""Whether spans are sent at all."""

import os
import subprocess
import sys

import pytest

from tests.services import ROOT

SHOW = """
import sys, huntaze.wsgi
from apps.operations.tracing import is_on
print(is_on(), "opentelemetry.exporter.otlp.proto.http" in sys.modules)
"""


def state(**environment: str) -> str:
    """Whether spans go anywhere in a web server, and whether it has loaded what sends them."""
    command = [sys.executable, "-c", SHOW]
    given = {**os.environ, **environment}
    return subprocess.run(command, env=given, cwd=ROOT, check=True, text=True, stdout=-1).stdout.strip()


def test_without_a_collector_nothing_is_loaded() -> None:
    assert state() == "False False"


@pytest.mark.parametrize("name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"])
def test_a_collectors_name_switches_spans_on(name: str) -> None:
    assert state(**{name: "http://127.0.0.1:9"}) == "True True"


def test_opentelemetrys_own_switch_switches_them_off() -> None:
    assert state(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_SDK_DISABLED="true") == "False False"
