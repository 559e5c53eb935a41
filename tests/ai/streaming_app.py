"""A web application whose only answer is streamed; what makes it ends when the test says so.

Programs of their own import it, as gunicorn does: `LINE` is the address of the test's socket.
"""

import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

import django

django.setup()

from apps.ai import streaming  # noqa: E402  # needs Django to be set up

RELAY = streaming.Relay(threads=2)


def produce(put: Callable[[streaming.Event], None]) -> None:
    """Says one word, waits for the test to say another, and lets it know that it came to its end."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(os.environ["LINE"])
        put(streaming.delta("begun"))
        line.recv(1)
        line.sendall(b"settled")


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/event-stream")])
    return streaming.sse(RELAY.run(produce))
