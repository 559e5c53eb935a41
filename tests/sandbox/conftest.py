from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http_client import http
from tests.sandbox.gateway_client import GatewayClient
from tests.sandbox.processes import running


@pytest.fixture(scope="session")
def ai_server() -> Iterator[str]:
    with running("ai", "--port", "0") as server:
        yield server.url


@pytest.fixture
def ai(ai_server: str) -> Iterator[str]:
    """The URL of an AI server without faults and with an empty usage book."""
    http.delete(f"{ai_server}/faults")
    http.post(f"{ai_server}/reset")
    yield ai_server
    http.delete(f"{ai_server}/faults")


@pytest.fixture(scope="session")
def gateway_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("gateway")
    with running("gateway", "--port", "0", "--data", str(folder)) as server:
        yield server.url


@pytest.fixture
def gateway(gateway_server: str) -> Iterator[GatewayClient]:
    """A client of a gateway without faults and with an empty ledger."""
    with GatewayClient(gateway_server) as client:
        client.put_faults({})
        client.reset()
        yield client
        client.put_faults({})
