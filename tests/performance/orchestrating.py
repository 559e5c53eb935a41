"""What the benchmarks of the orchestrator share: how long the providers take, and whose questions it are."""

import secrets

from huntaze.stack import Stack
from tests.http_client import http


def slow_down(stack: Stack, *, seconds: float) -> None:
    """Have both providers' stand-ins take so long for each call."""
    rule = {"latency": {"distribution": "constant", "ms": seconds * 1000}}
    http.put(f"{stack.ai_url}/faults", json={"rules": [rule]}).raise_for_status()


def new_tenant(stack: Stack) -> str:
    """The id of a tenant who has asked nothing yet."""
    name = f"Agency {secrets.token_hex(4)}"
    said = stack.manage("create_tenant", name, "--email", f"owner-{secrets.token_hex(4)}@example.com")
    return said.split()[1]
