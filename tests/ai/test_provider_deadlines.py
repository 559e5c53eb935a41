"""A call is over when its time-out is, however slowly its answer comes."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpcore2
import httpx2
import pytest

from apps.ai.providers import PROVIDERS, openai
from apps.ai.providers.outcomes import Delta, Failure, FailureKind, Outcome
from apps.ai.providers.requests import ChatRequest, EmbeddingRequest, Message
from apps.common.punctual import Punctual
from tests.ai.scripted import ScriptedProvider, scripted_provider

TIMEOUT = timedelta(seconds=1.5)
# A wait that begins just before the end used to last for as long again.
LATE, LATEST = 1.4, timedelta(seconds=2.2)
CHAT = ChatRequest((Message("user", "Hello"),), max_tokens=20).body(model="gpt-4o", named="gpt-4o")
EMBEDDING = EmbeddingRequest(("Hello",)).body(model="small", named="small")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: 1000\r\n"


@pytest.fixture
def script(settings: Any) -> Iterator[ScriptedProvider]:
    with scripted_provider(settings) as provider:
        with openai.clients().lent():  # to load and make it takes seconds on a busy machine, before the call
            pass
        yield provider


def completed() -> Outcome:
    return PROVIDERS["openai"].complete(CHAT, timeout=TIMEOUT)


def embedded() -> Outcome:
    return PROVIDERS["openai"].embed(EMBEDDING, timeout=TIMEOUT)


def streamed() -> Outcome:
    *_, outcome = PROVIDERS["openai"].stream(CHAT, timeout=TIMEOUT, idle_timeout=timedelta(minutes=1))
    assert not isinstance(outcome, Delta)
    return outcome


@pytest.mark.parametrize("call", [completed, embedded, streamed])
@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param(lambda kind: [(0, HEAD % kind + b"\r\n"), (LATE, b" ")], id="a silence at the end"),
        pytest.param(lambda kind: [(LATE, HEAD % kind + b"\r\n")], id="a late head"),
        pytest.param(lambda kind: [(0, HEAD % kind), (LATE, b"X-A: b\r\n")], id="a head that trickles"),
        pytest.param(
            lambda kind: [(0, HEAD % kind + b"\r\n"), *[(0.05, b" ")] * 100], id="a body that trickles"
        ),
    ],
)
def test_what_trickles_is_over_in_time(
    script: ScriptedProvider,
    call: Callable[[], Outcome],
    pieces: Callable[[bytes], list[tuple[float, bytes]]],
) -> None:
    script.trickles(*pieces(b"text/event-stream" if call is streamed else b"application/json"))
    began = time.monotonic()

    outcome = call()

    assert timedelta(seconds=time.monotonic() - began) < LATEST
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.maybe_billed) == (FailureKind.TIMEOUT, True)
    assert script.was_left.wait(10)


def test_clients_have_the_backend_that_sees_to_it_also_where_there_is_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from openai import OpenAI

    from apps.ai.providers import connections

    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    client = connections.connect(OpenAI, api_key="a key")
    http = client._client
    transports = [http._transport, *filter(None, http._mounts.values())]
    assert len(transports) > 1
    for each in transports:
        assert isinstance(each, httpx2.HTTPTransport)
        assert isinstance(each._pool._network_backend, Punctual)


class Nowhere(httpcore2.NetworkBackend):
    """Answers at one address only; how long it was to wait for each, in seconds."""

    def __init__(self, answers: str = "") -> None:
        self._answers, self.waits = answers, dict[str, float]()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *_: Any
    ) -> httpcore2.NetworkStream:
        assert timeout is not None
        self.waits[host] = timeout
        if host == self._answers:
            return httpcore2.NetworkStream()
        time.sleep(timeout)  # as long as an address that drops what it gets keeps whoever asks
        raise httpcore2.ConnectTimeout


ADDRESSES = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]


def connect(backend: Nowhere, wait: float) -> None:
    Punctual(backend, lambda host, port: ADDRESSES).connect_tcp("provider.invalid", 443, wait)


def test_a_name_with_many_addresses_is_given_up_in_the_time_of_one() -> None:
    backend, whole = Nowhere(), 0.2

    with pytest.raises(httpcore2.ConnectTimeout):
        connect(backend, whole)

    assert list(backend.waits) == ADDRESSES
    assert sum(backend.waits.values()) <= whole


def test_an_address_that_does_not_answer_leaves_time_for_the_next() -> None:
    backend = Nowhere(answers=ADDRESSES[1])

    connect(backend, 0.2)

    assert list(backend.waits) == ADDRESSES[:2]
    assert backend.waits[ADDRESSES[1]] > 0.02


def test_a_name_without_addresses_is_a_failure_to_connect() -> None:
    with pytest.raises(httpcore2.ConnectError, match="looked up"):
        Punctual(Nowhere()).connect_tcp("provider.invalid", 443, 5)
