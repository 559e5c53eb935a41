"""How the servers start, stop, and survive."""

import asyncio
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import httpx2
import pytest

from tests.http_client import http
from tests.sandbox.gateway_client import GatewayClient
from tests.sandbox.processes import REPOSITORY, Server, running


def failed_start(*arguments: str) -> str:
    """What a start that must fail writes to stderr."""
    command = [sys.executable, "-m", "apps.sandbox", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        for arguments in (("ai", "--port", port), ("gateway", "--port", port, "--data", str(tmp_path))):
            errors = failed_start(*arguments)

            assert len(errors.splitlines()) == 1
            assert f"127.0.0.1:{port}" in errors
            assert "in use" in errors


@pytest.mark.parametrize("server", ["ai", "gateway"])
def test_an_unwritable_folder_is_one_clear_line(tmp_path: Path, server: str) -> None:
    (tmp_path / "file").write_text("no folder")

    errors = failed_start(server, "--port", "0", "--data", str(tmp_path / "file"))

    assert len(errors.splitlines()) == 1
    assert "can't write to" in errors


def test_a_folder_belongs_to_one_gateway(tmp_path: Path) -> None:
    with running("gateway", "--port", "0", "--data", str(tmp_path)):
        assert "in use by another process" in failed_start("gateway", "--port", "0", "--data", str(tmp_path))


def test_a_port_that_is_none_is_refused_at_once() -> None:
    command = [sys.executable, "-m", "apps.sandbox", "ai", "--port", "70000"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 2
    assert "'70000' is no port" in done.stderr


def test_sigterm_ends_a_gateway_quickly_even_with_a_hung_request(tmp_path: Path) -> None:
    server = Server("gateway", "--port", "0", "--data", str(tmp_path))
    with GatewayClient(server.url) as client:
        client.put_faults({"rules": [{"hang": 1}]})
        with pytest.raises(httpx2.ReadTimeout):
            client.send(timeout=0.2)
        with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))) as hung:
            body = b'{"text": "hello"}'
            hung.sendall(
                b"POST /gateway/accounts/a/chats/b/messages HTTP/1.1\r\nHost: g\r\nIdempotency-Key: k\r\n"
                b"Authorization: Bearer x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            started = time.monotonic()
            while len(client.arrivals()) < 2:
                assert time.monotonic() < started + 5
            started = time.monotonic()
            code, errors = server.stop()

    assert (code, errors) == (0, "")
    assert time.monotonic() - started < 3


def test_a_killed_gateway_remembers_everything_that_it_accepted(tmp_path: Path) -> None:
    server = Server("gateway", "--port", "0", "--data", str(tmp_path))
    with GatewayClient(server.url) as client:
        first = client.send("one").json()
        client.put_faults({"rules": [{"cut_after": 1}]})
        with pytest.raises((httpx2.NetworkError, httpx2.RemoteProtocolError)):
            client.send("two")
    server.stop(signal.SIGKILL)
    with (tmp_path / "gateway-ledger.jsonl").open("ab") as ledger:
        ledger.write(b'{"at":1.0,"account":"an')

    with (
        running("gateway", "--port", "0", "--data", str(tmp_path)) as again,
        GatewayClient(again.url) as client,
    ):
        assert (client.send("one").status_code, client.send("one").json()) == (200, first)
        assert client.send("two").status_code == 200
        assert [each["outcome"] for each in client.arrivals()] == ["accepted", "accepted"] + ["repeated"] * 3
        times = [each["at"] for each in client.arrivals()]
        assert times == sorted(times)


def test_a_ledger_that_holds_something_else_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "gateway-ledger.jsonl").write_text('{"at": 1.0}\n')

    assert "no arrival" in failed_start("gateway", "--port", "0", "--data", str(tmp_path))


def test_a_full_disk_is_a_503_and_accepts_nothing(tmp_path: Path) -> None:
    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    arguments = ("gateway", "--port", "0", "--data", str(tmp_path))
    with running(*arguments, before_start=limit_file_size) as server, GatewayClient(server.url) as client:
        answers = [client.send(f"key-{number}") for number in range(8)]
        accepted = [number for number, answer in enumerate(answers) if answer.status_code == 201]

        assert {answer.status_code for answer in answers} == {201, 503}
        assert answers[-1].json()["error"]["code"] == "unavailable"
        assert [each["key"] for each in client.arrivals()] == [f"key-{number}" for number in accepted]
        assert client.look_up("key-7").json() == {"messages": []}
    lines = (tmp_path / "gateway-ledger.jsonl").read_bytes()
    assert lines.endswith(b"}\n")
    assert lines.count(b"\n") == len(accepted)


def test_more_clients_may_wait_than_the_soft_limit_of_open_files_allows(tmp_path: Path) -> None:
    def lower_soft_limit() -> None:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, most))

    async def send_all(url: str, count: int) -> list[int]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=20)
        ) as session:

            async def send(number: int) -> int:
                path = f"{url}/gateway/accounts/anna/chats/fan-{number}/messages"
                headers = {"Authorization": "Bearer secret", "Idempotency-Key": f"key-{number}"}
                async with session.post(path, json={"text": "hello"}, headers=headers) as answer:
                    return answer.status

            return await asyncio.gather(*(send(number) for number in range(count)))

    arguments = ("gateway", "--port", "0", "--data", str(tmp_path))
    with running(*arguments, before_start=lower_soft_limit) as server, GatewayClient(server.url) as client:
        client.put_faults({"rules": [{"latency": {"distribution": "constant", "ms": 500}}]})

        statuses = asyncio.run(send_all(server.url, 200))

        assert statuses == [201] * 200
        assert client.audit()["accepted"] == 200


def test_who_hangs_up_in_the_middle_of_an_answer_is_no_error(tmp_path: Path) -> None:
    body = b'{"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'
    request = (
        b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer sandbox\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    with running("ai", "--port", "0", "--data", str(tmp_path)) as server:
        rule = {"trickle": 1, "stream_gap_ms": 0}
        http.put(f"{server.url}/faults", json={"rules": [rule]}).raise_for_status()
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        for _ in range(100):
            with socket.create_connection(address, timeout=30) as client:
                # So that closing is a reset: the server finds out by writing.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.sendall(request)
                assert client.recv(20).startswith(b"HTTP/1.1 200")


def test_the_ai_server_keeps_a_journal_where_it_is_given_a_folder(tmp_path: Path) -> None:
    with running("ai", "--port", "0", "--data", str(tmp_path)) as server:
        body = {"model": "text-embedding-3-small", "input": "hello"}
        headers = {"Authorization": "Bearer key"}
        http.post(f"{server.url}/openai/v1/embeddings", json=body, headers=headers).raise_for_status()

        journal = (tmp_path / "ai-usage.jsonl").read_text()

        assert '"model":"text-embedding-3-small","status":200,"prompt_tokens":2' in journal
        http.post(f"{server.url}/reset").raise_for_status()
        assert (tmp_path / "ai-usage.jsonl").read_text() == ""


def test_the_sandbox_imports_no_django_and_no_other_app() -> None:
    program = (
        "import sys, apps.sandbox.__main__\n"
        "names = {n for n in sys.modules if n.split('.')[0] in ('django', 'tasks', 'huntaze')"
        " or (n.startswith('apps.') and not n.startswith('apps.sandbox'))}\n"
        "assert not names, names"
    )
    subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, check=True, env={**os.environ}, timeout=30
    )
