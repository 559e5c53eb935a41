"""Clients of a provider: as many as the calls under way need, the first ones first."""

from contextlib import ExitStack
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from openai import OpenAI

from apps.ai.providers import connections, openai
from apps.ai.providers.connections import MOST_CALLS, Clients
from apps.ai.providers.outcomes import Delta
from apps.ai.providers.requests import ChatRequest, Message
from tests.ai.scripted import scripted_provider

BODY = ChatRequest((Message("user", "Hello"),), max_tokens=20).body(model="gpt-4o", named="gpt-4o")


@pytest.fixture
def clients() -> Clients[OpenAI]:
    return Clients(OpenAI, api_key="a key")


def test_calls_one_after_the_other_share_the_client_whose_connection_is_warm(
    clients: Clients[OpenAI],
) -> None:
    with clients.lent() as first:
        pass
    with clients.lent() as again:
        assert again is first


def test_another_client_is_made_when_the_first_ones_have_their_hands_full(clients: Clients[OpenAI]) -> None:
    with ExitStack() as calls:
        lent = [calls.enter_context(clients.lent()) for _ in range(MOST_CALLS + 1)]
        assert len(set(lent[:MOST_CALLS])) == 1
        assert lent[-1] is not lent[0]
    with clients.lent() as after:
        assert after is lent[0]


def test_a_call_that_fails_gives_its_client_back(clients: Clients[OpenAI]) -> None:
    lent: list[OpenAI] = []

    def fail() -> None:
        with clients.lent() as client:
            lent.append(client)
            raise LookupError

    for _ in range(MOST_CALLS + 1):
        with pytest.raises(LookupError):
            fail()
    assert len(set(lent)) == 1


def test_threads_at_the_same_time_get_no_more_clients_than_they_need(clients: Clients[OpenAI]) -> None:
    together = Barrier(MOST_CALLS * 2, timeout=30)
    lent: list[OpenAI] = []

    def call() -> None:
        together.wait()
        with clients.lent() as client:
            lent.append(client)
            together.wait()  # until all have theirs

    threads = [Thread(target=call) for _ in range(MOST_CALLS * 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lent) == MOST_CALLS * 2
    assert len(set(lent)) == 2


def test_after_a_crowd_the_clients_that_nobody_needs_are_closed(clients: Clients[OpenAI]) -> None:
    with ExitStack() as calls:
        lent = dict.fromkeys(calls.enter_context(clients.lent()) for _ in range(3 * MOST_CALLS))
        assert not any(client.is_closed() for client in lent)
    assert [client.is_closed() for client in lent] == [False, True, True]


def test_one_call_more_or_less_neither_makes_nor_closes_a_client(clients: Clients[OpenAI]) -> None:
    with ExitStack() as calls:
        for _ in range(MOST_CALLS):
            calls.enter_context(clients.lent())
        lent = []
        for _ in range(3):
            with clients.lent() as another:
                lent.append(another)
            assert not another.is_closed()
        assert len(set(lent)) == 1


def test_a_client_that_cannot_be_made_takes_no_place(
    clients: Clients[OpenAI], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> OpenAI:
        raise OSError("no files left")

    with ExitStack() as calls:
        for _ in range(MOST_CALLS - 1):
            calls.enter_context(clients.lent())
        with clients.lent() as first:
            monkeypatch.setattr(connections, "connect", fail)
            with pytest.raises(OSError, match="no files left"), clients.lent():
                pass
        with clients.lent() as again:
            assert again is first


def test_a_call_that_is_dropped_while_its_thread_takes_another_client_stops_nobody(
    clients: Clients[OpenAI], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is freed at any time, also in the middle of that, and with it an abandoned stream."""
    abandoned = clients.lent()
    client = abandoned.__enter__()
    made = connections.connect

    def make(*arguments: Any, **options: Any) -> OpenAI:
        abandoned.__exit__(None, None, None)
        client: OpenAI = made(*arguments, **options)
        return client

    with ExitStack() as calls:
        for _ in range(MOST_CALLS - 1):
            calls.enter_context(clients.lent())
        monkeypatch.setattr(connections, "connect", make)
        with clients.lent() as second:
            assert second is not client
            with clients.lent() as third:
                assert third is client, "the abandoned call's place is free again"


def test_a_stream_that_is_left_half_way_gives_its_client_back(settings: Any) -> None:
    with scripted_provider(settings) as script:
        script.streams(b'{"choices": [{"delta": {"content": "Hel"}}]}', missing=1, holds_on=True)
        with openai.clients().lent() as first:
            pass
        for _ in range(MOST_CALLS + 1):
            stream = openai.stream(BODY, timeout=timedelta(seconds=30))
            assert next(stream) == Delta("Hel")
            stream.close()  # type: ignore[attr-defined]  # a generator's
            openai.stream(BODY, timeout=timedelta(seconds=30))  # not even begun
        with openai.clients().lent() as again:
            assert again is first
