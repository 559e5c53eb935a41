import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from huntaze import outside
from huntaze.places import StartError


def refused() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """A server that knows just enough of a protocol; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                while request := connection.recv(65536):
                    connection.sendall(answer(request))

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(server.getsockname()[1])
        thread.join()


def error_of(**environment: str) -> str:
    with pytest.raises(StartError) as caught:
        outside.check(environment)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_nothing_named_is_nothing_to_check() -> None:
    outside.check({"DATABASE_URL": "", "PATH": "/bin"})


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ("DATABASE_URL", "DATABASE_OWNER_URL"),
        ("DATABASE_OWNER_URL", "DATABASE_URL"),
        ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"),
        ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"),
        ("OPENAI_BASE_URL", "OPENAI_API_KEY"),
    ],
)
def test_half_of_a_pair_names_the_other_half(given: str, missing: str) -> None:
    assert error_of(**{given: "x"}).startswith(f"{given} is set, so {missing} is needed too: ")


def test_a_service_that_does_not_answer_is_named_without_its_password() -> None:
    port = refused()
    database = f"postgresql://u:hush@127.0.0.1:{port}/huntaze"
    for name, text in {
        "DATABASE_URL": error_of(DATABASE_URL=database, DATABASE_OWNER_URL=database),
        "REDIS_URL": error_of(REDIS_URL=f"redis://:hush@127.0.0.1:{port}/0"),
        "CELERY_BROKER_URL": error_of(CELERY_BROKER_URL=f"amqp://u:hush@127.0.0.1:{port}//"),
        "ONLYFANS_API_URL": error_of(ONLYFANS_API_URL=f"http://u:hush@127.0.0.1:{port}/gateway"),
    }.items():
        assert text.startswith(f"{name}: cannot reach ")
        assert "hush" not in text


def test_what_is_not_a_url_is_named() -> None:
    assert error_of(DATABASE_URL="mysql://x", DATABASE_OWNER_URL="mysql://x").startswith(
        "DATABASE_URL is not a "
    )
    assert error_of(REDIS_URL="localhost:6379").startswith("REDIS_URL is not a redis:// URL")
    assert error_of(CELERY_BROKER_URL="sqs://").startswith("CELERY_BROKER_URL must start with ")
    assert error_of(ONLYFANS_API_URL="ftp://x").startswith("ONLYFANS_API_URL must be an http")


def test_an_old_postgresql_is_refused() -> None:
    def message(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("!i", len(body) + 4) + body

    def answer(request: bytes) -> bytes:
        if request[4:8] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):  # TLS or GSS? Neither.
            return b"N"
        if request[:1] == b"X":
            return b""
        version = message(b"S", b"server_version\x0014.12\x00")
        return message(b"R", struct.pack("!i", 0)) + version + message(b"Z", b"I")

    with answering(answer) as port:
        url = f"postgresql://u@127.0.0.1:{port}/huntaze"
        text = error_of(DATABASE_URL=url, DATABASE_OWNER_URL=url)

    assert text == "DATABASE_URL: PostgreSQL 14 is too old, 15 or later is needed"


def test_an_old_redis_is_refused() -> None:
    information = b"redis_version:5.0.14\r\n"

    def answer(request: bytes) -> bytes:
        if b"INFO\r\n" in request:
            return b"$%d\r\n%s\r\n" % (len(information), information)
        # Redis 5 knows neither HELLO nor CLIENT SETINFO.
        return b"-ERR unknown command\r\n" * request.count(b"*")

    with answering(answer) as port:
        text = error_of(REDIS_URL=f"redis://127.0.0.1:{port}/0")

    assert text == "REDIS_URL: Redis 5.0.14 is too old, 6.2 or later is needed"


def test_a_redis_that_evicts_what_it_likes_is_refused() -> None:
    url = os.environ["REDIS_URL"]
    with redis.Redis.from_url(url) as client:
        before = client.config_get("maxmemory*")
        client.config_set("maxmemory", 2**30)
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            assert error_of(REDIS_URL=url).endswith("the limiter needs noeviction")
        finally:
            client.config_set("maxmemory", before["maxmemory"])
            client.config_set("maxmemory-policy", before["maxmemory-policy"])
    outside.check({"REDIS_URL": url})
