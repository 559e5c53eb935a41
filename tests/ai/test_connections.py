"""Clients of a provider: as many as the calls under way need, the first ones first."""

from contextlib import ExitStack
from threading import Barrier, Thread

import pytest
from openai import OpenAI

from apps.ai.providers import connections
from apps.ai.providers.connections import MOST_CALLS, Clients


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
    for _ in range(MOST_CALLS + 1):
        with pytest.raises(LookupError), clients.lent() as client:
            raise LookupError
    with clients.lent() as after:
        assert after is client


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


def test_a_client_that_cannot_be_made_takes_no_place(
    clients: Clients[OpenAI], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(
            connections, "connect", lambda *_, **__: (_ for _ in ()).throw(OSError("no files left"))
        )
        with pytest.raises(OSError), clients.lent():
            pass
    with clients.lent() as client:
        assert isinstance(client, OpenAI)
