"""What a worker has loaded before it takes its first task."""

import subprocess
import sys

import pytest

from tests.services import ROOT

_START = """
import sys
from types import SimpleNamespace
from celery.signals import celeryd_after_setup
from huntaze.celery import app
app.loader.import_default_modules()
app.amqp.queues.select({queues!r})
celeryd_after_setup.send(sender="worker", instance=SimpleNamespace(app=app), conf=app.conf)
print("openai" in sys.modules)
"""


@pytest.mark.parametrize(("queues", "loaded"), [(["ai"], True), (["costs", "analytics"], False)])
def test_who_asks_the_ai_has_its_client_from_the_start(queues: list[str], loaded: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _START.format(queues=queues)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(loaded)
