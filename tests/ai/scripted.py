"""A provider that says exactly what it is told to, for what the stand-in would never say."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ScriptedProvider:
    """Answers 200 with what was said last; keeps the bodies that it was sent."""

    def __init__(self) -> None:
        self.body = b""
        self.content_type = ""
        self.length: int | None = None
        self.asked: list[Any] = []
        self.holds_on = False
        self.trickle: list[tuple[float, bytes]] = []
        self.was_left = threading.Event()

    def says(self, document: Any) -> None:
        """A whole answer."""
        self.body, self.content_type = json.dumps(document).encode(), "application/json"
        self.length = len(self.body)

    def streams(self, *events: bytes, missing: int = 0, holds_on: bool = False) -> None:
        """The data of events; `missing` bytes that were announced don't come.

        With `holds_on` it doesn't hang up then, but waits until its client does, which sets `was_left`.
        """
        self.holds_on = holds_on
        self.body = b"".join(b"data: " + each + b"\n\n" for each in events)
        self.content_type, self.length = "text/event-stream", len(self.body) + missing

    def trickles(self, *pieces: tuple[float, bytes], holds_on: bool = True) -> None:
        """The answer's bytes, from its first line on, each piece after so many seconds; see `streams`."""
        self.trickle, self.holds_on = list(pieces), holds_on


@contextmanager
def scripted_provider(settings: Any) -> Iterator[ScriptedProvider]:
    """In the place of OpenAI."""
    script = ScriptedProvider()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            script.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if script.trickle:
                try:
                    for pause, piece in script.trickle:
                        time.sleep(pause)
                        self.wfile.write(piece)
                except OSError:
                    script.was_left.set()
                    return
            else:
                self.send_response(200)
                self.send_header("Content-Type", script.content_type)
                self.send_header("Content-Length", str(script.length))
                self.end_headers()
                self.wfile.write(script.body)
            if script.holds_on and not self.rfile.read(1):
                script.was_left.set()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.OPENAI_BASE_URL = f"http://127.0.0.1:{server.server_port}/v1"
        settings.OPENAI_API_KEY = "a key"
        yield script
        server.shutdown()
