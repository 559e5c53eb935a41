import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
import structlog
from django.db import OperationalError, connection, connections
from hypothesis import given
from hypothesis import strategies as st

from apps.ai import streaming
from apps.ai.streaming import Event, Relay, delta, done, failed, sse
from apps.common.errors import InvalidInputError, UnavailableError
from tests.ai.event_streams import parsed
from tests.waiting import wait_until

SECONDS = 20
REPOSITORY = Path(__file__).resolve().parents[2]


class Work:
    """A producer that says “begun”, waits until it is let go, says “ended” and has settled."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.settled = threading.Event()

    def __call__(self, put: Callable[[Event], None]) -> None:
        put(delta("begun"))
        assert self.go_on.wait(SECONDS)
        put(delta("ended"))
        self.settled.set()


def words(events: Iterator[Event | None]) -> list[str]:
    return [event.data["text"] for event in events if event is not None]


def test_events_come_while_the_rest_is_still_made() -> None:
    work = Work()
    events = Relay(threads=1).run(work)

    assert next(events) == delta("begun")
    assert not work.settled.is_set()
    work.go_on.set()
    assert words(events) == ["ended"]


def test_a_consumer_that_goes_away_stops_nothing() -> None:
    work = Work()
    events = Relay(threads=1).run(work)
    next(events)

    events.close()  # type: ignore[attr-defined]  # a generator, to those who end one early
    work.go_on.set()

    assert work.settled.wait(SECONDS)


def test_a_consumer_that_never_listens_stops_nothing() -> None:
    work = Work()
    work.go_on.set()

    Relay(threads=1).run(work)

    assert work.settled.wait(SECONDS)


def test_a_process_waits_for_a_producer_whoever_started_it() -> None:
    relay, made = Relay(threads=1), []

    def produce(put: Callable[[Event], None]) -> None:
        made.append(threading.current_thread().daemon)
        put(delta("made"))

    asking = threading.Thread(target=lambda: words(relay.run(produce)), daemon=True)
    asking.start()
    asking.join(SECONDS)

    assert made == [False]


def test_many_answers_come_to_their_ends_though_half_of_their_callers_leave() -> None:
    relay = Relay(threads=40)
    works = [Work() for _ in range(40)]
    running = [relay.run(work) for work in works]

    for events in running[::2]:
        events.close()  # type: ignore[attr-defined]
    for work in works:
        work.go_on.set()

    assert [words(events) for events in running[1::2]] == [["begun", "ended"]] * 20
    assert all(work.settled.wait(SECONDS) for work in works)


def test_when_all_threads_are_busy_the_next_is_told_when_to_come_back() -> None:
    relay, works = Relay(threads=2), [Work(), Work()]
    running = [relay.run(work) for work in works]

    with pytest.raises(UnavailableError) as refused:
        relay.run(Work())
    assert (refused.value.code, refused.value.retry_after > timedelta()) == ("streams_busy", True)

    works[0].go_on.set()
    words(running[0])
    later = Work()
    later.go_on.set()
    assert words(relay.run(later)) == ["begun", "ended"]
    works[1].go_on.set()
    words(running[1])


def test_a_thread_that_can_not_start_leaves_its_place_free(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    relay, work = Relay(threads=1), Work()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(UnavailableError):
            relay.run(work)

    work.go_on.set()
    assert words(relay.run(work)) == ["begun", "ended"]


def test_a_place_that_nothing_is_started_in_is_free_again() -> None:
    relay = Relay(threads=1)
    with relay.place(), pytest.raises(UnavailableError):
        relay.run(Work())
    work = Work()
    work.go_on.set()
    with relay.place() as place:
        events = place.run(work)

    assert words(events) == ["begun", "ended"]
    assert words(relay.run(work)) == ["begun", "ended"]


def test_a_place_is_taken_until_what_was_started_in_it_ends() -> None:
    relay, work = Relay(threads=1), Work()
    with relay.place() as place:
        events = place.run(work)

    with pytest.raises(UnavailableError):
        relay.run(Work())

    work.go_on.set()
    words(events)


def test_a_refusal_is_the_last_event() -> None:
    def refuse(put: Callable[[Event], None]) -> None:
        put(delta("Once "))
        raise InvalidInputError("The prompt is too long.", code="context_too_long", fields={"input": "long"})

    relay = Relay(threads=1)
    body = {"code": "context_too_long", "message": "The prompt is too long.", "fields": {"input": "long"}}
    for _ in range(2):  # its place is free again
        assert list(relay.run(refuse)) == [delta("Once "), Event("error", {"error": body})]


def test_an_error_of_ours_is_logged_and_its_details_stay_here() -> None:
    def fail(put: Callable[[Event], None]) -> None:
        put(delta("Once "))
        raise ZeroDivisionError("a secret")

    with structlog.testing.capture_logs() as logs:
        first, last = Relay(threads=1).run(fail)

    assert first == delta("Once ")
    assert last is not None
    assert (last.name, last.data["error"]["code"]) == ("error", "server_error")
    assert "secret" not in str(last.data)
    assert [(each["event"], each["log_level"]) for each in logs] == [("ai.stream_failed", "error")]


def test_a_database_that_is_away_is_said_to_be() -> None:
    def fail(put: Callable[[Event], None]) -> None:
        raise OperationalError("connection to 10.0.0.1 refused")

    (last,) = Relay(threads=1).run(fail)

    assert last is not None
    assert (last.name, last.data["error"]["code"]) == ("error", "unavailable")
    assert "10.0.0.1" not in str(last.data)


def test_silence_is_filled_with_heartbeats() -> None:
    work = Work()
    events = Relay(threads=1).run(work, heartbeat=timedelta(milliseconds=5))
    assert next(events) == delta("begun")

    assert [next(events), next(events)] == [None, None]
    work.go_on.set()

    assert words(events) == ["ended"]
    assert list(sse([None, delta("x")])) == [b": keep-alive\n\n", b'event: delta\ndata: {"text":"x"}\n\n']


def test_a_producer_has_the_context_of_whoever_asked() -> None:
    def produce(put: Callable[[Event], None]) -> None:
        put(delta(structlog.contextvars.get_contextvars()["tenant"]))

    with structlog.contextvars.bound_contextvars(tenant="Ada's"):
        events = Relay(threads=1).run(produce)

    assert words(events) == ["Ada's"]


def test_a_producer_gives_its_database_connection_back(transactional_db: None) -> None:
    used: list[Any] = []

    def produce(put: Callable[[Event], None]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        used.append(connections["default"])
        assert used[0].connection is not None
        put(delta("asked"))

    assert words(Relay(threads=1).run(produce)) == ["asked"]

    assert used[0].connection is None


@given(st.text())
def test_any_text_survives_the_wire(text: str) -> None:
    assert parsed(b"".join(sse([delta(text), None, delta("next")]))) == [
        ("delta", {"text": text}),
        ("delta", {"text": "next"}),
    ]


def test_half_a_surrogate_pair_ends_no_stream() -> None:
    assert parsed(b"".join(sse([delta("a\ud83db")]))) == [("delta", {"text": "a?b"})]


def test_the_end_is_the_generation_as_the_api_shows_it() -> None:
    generation = {"id": UUID(int=1), "text": "Grüße\nvom See", "age_s": timedelta(seconds=2), "data": None}

    [(name, data)] = parsed(b"".join(sse([done(generation)])))

    assert name == "done"
    assert data == {"id": str(UUID(int=1)), "text": "Grüße\nvom See", "age_s": "2.0", "data": None}


def test_an_error_has_the_shape_of_the_api() -> None:
    busy = UnavailableError("Ask later.", retry_after=timedelta(seconds=1))

    [(name, data)] = parsed(b"".join(sse([failed(busy)])))

    expected = {"error": {"code": "unavailable", "message": "Ask later.", "fields": {}}}
    assert (name, data) == ("error", expected)


def test_the_process_has_one_relay_of_the_configured_size(settings: Any) -> None:
    settings.AI_STREAMS = 1
    streaming.relay.cache_clear()
    work = Work()
    events = streaming.relay().run(work)

    with pytest.raises(UnavailableError, match="All 1 streams"):
        streaming.relay().run(Work())

    work.go_on.set()
    words(events)
    streaming.relay.cache_clear()


@pytest.fixture
def folder() -> Iterator[Path]:
    """For sockets, whose paths must be short."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where the producers of streaming_app.py call."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "line"))
        listening.settimeout(SECONDS)
        listening.listen()
        monkeypatch.setenv("LINE", listening.getsockname())
        yield listening


def test_a_process_that_ends_lets_its_producers_end_first(line: socket.socket) -> None:
    script = (
        "from tests.ai.streaming_app import RELAY, produce; RELAY.run(produce); print('over', flush=True)"
    )
    program = [sys.executable, "-c", script]
    with subprocess.Popen(program, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "over\n"
        producer, _ = line.accept()
        with producer:
            producer.sendall(b"!")
            assert producer.recv(100) == b"settled"
    assert process.returncode == 0


def test_gunicorn_told_to_stop_lets_the_answer_be_settled_though_its_caller_has_gone(
    line: socket.socket, folder: Path
) -> None:
    program = [sys.executable, "-m", "gunicorn", "tests.ai.streaming_app", "--worker-class", "gthread"]
    program += ["--threads", "4", "--graceful-timeout", "30", "--no-control-socket"]
    program += ["--worker-tmp-dir", str(folder), "--bind", f"unix:{folder}/web", "--log-level", "error"]
    with subprocess.Popen(program, cwd=REPOSITORY) as process:
        wait_until(lambda: (folder / "web").exists(), seconds=SECONDS, what="gunicorn")
        transport = httpx2.HTTPTransport(uds=str(folder / "web"))
        with (
            httpx2.Client(transport=transport, timeout=SECONDS) as client,
            client.stream("GET", "http://web/") as response,
        ):
            assert next(response.iter_bytes()) == b'event: delta\ndata: {"text":"begun"}\n\n'
        producer, _ = line.accept()
        with producer:
            process.send_signal(signal.SIGTERM)
            wait_until(lambda: not (folder / "web").exists(), seconds=SECONDS, what="it to stop listening")
            producer.sendall(b"!")
            assert producer.recv(100) == b"settled"
        assert process.wait(SECONDS) == 0
