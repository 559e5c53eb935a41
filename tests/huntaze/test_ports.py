import socket
from collections.abc import Iterator

import pytest

from huntaze.places import StartError
from huntaze.ports import reserved


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(listener: socket.socket) -> None:
    taken = port_of(listener)

    with (
        pytest.raises(
            StartError, match=f"^port {taken} is taken by another process: set PORT to a free one$"
        ),
        reserved("PORT", 8000, environment={"PORT": str(taken)}),
    ):
        pass


def test_the_usual_port_gives_way_to_the_next_free_one(listener: socket.socket) -> None:
    taken = port_of(listener)

    with reserved("PORT", taken, environment={}) as port:
        assert port > taken


def test_two_that_start_at_once_get_different_ports(listener: socket.socket) -> None:
    usual = port_of(listener)
    with (
        reserved("PORT", usual, environment={}) as first,
        reserved("PORT", usual, environment={}) as second,
    ):
        assert first != second
    with reserved("PORT", usual, environment={}) as again:
        assert again == first


@pytest.mark.parametrize("text", ["http", "0", "65536", "-1", "8000 ", "٨٠٠٠"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with (
        pytest.raises(StartError, match="PORT must be a port from 1 to 65535"),
        reserved("PORT", 8000, environment={"PORT": text}),
    ):
        pass
