"""Server-sent events as a browser reads them."""

import json
from typing import Any


def parsed(wire: bytes) -> list[tuple[str, Any]]:
    """Names and data of the events (HTML, 9.2.6): lines end in CR, LF or both; a blank one ends an event."""
    events = []
    for block in wire.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            events.append((fields["event"], json.loads(fields["data"])))
    return events
