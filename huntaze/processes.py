"""The processes of a stack: what each runs, when it is ready, and how it ends."""

import http.client
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huntaze import embedded_postgres, embedded_redis
from huntaze.embedded import ServiceUrls
from huntaze.places import CLONE, Home

# Threads per worker, by queue: most wait on the network, analytics computes.
WORKERS = {"ai": 400, "campaigns": 8, "dispatch": 16, "costs": 4, "notifications": 8, "analytics": 2}

WEB_PROCESSES, WEB_THREADS = 2, 256


@dataclass(frozen=True)
class Process:
    name: str
    command: tuple[str, ...]
    # Given its process id, whether it does its work.
    ready: Callable[[int], bool]
    # Sent by the kernel when the manager dies, and by the manager to stop it.
    death: str = "TERM"
    stop: str = "TERM"
    stop_seconds: int = 10
    # Services are there before the migrations run, and stop last.
    service: bool = False


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, *arguments)


def _celery(*arguments: str) -> tuple[str, ...]:
    return _python("-m", "celery", "-q", "-A", "huntaze", *arguments)  # -q leaves out the banner


def postgres(home: Home, urls: ServiceUrls) -> Process:
    return Process(
        "postgres",
        _python("-m", "huntaze.embedded", "postgres"),
        lambda pid: home.holder("postgres") == pid and embedded_postgres.answers(urls.superuser),
        death="INT",  # a fast shutdown; TERM would wait for every connection to close
        stop="INT",
        service=True,
    )


def redis(home: Home, urls: ServiceUrls) -> Process:
    command = _python("-m", "huntaze.embedded", "redis")
    return Process(
        "redis",
        command,
        lambda pid: home.holder("redis") == pid and embedded_redis.answers(urls.redis),
        service=True,
    )


def sandbox(server: str, port: int, data: Path) -> Process:
    command = _python("-m", "apps.sandbox", server, "--port", str(port), "--data", str(data))
    return Process(f"sandbox-{server}", command, lambda _pid: _status(port, "/") > 0)


def web(home: Home, host: str, port: int) -> Process:
    command = _python("-m", "gunicorn", "huntaze.wsgi", "--worker-class", "gthread")
    command += ("--workers", str(WEB_PROCESSES), "--threads", str(WEB_THREADS))
    command += ("--bind", f"{host}:{port}", "--graceful-timeout", "5")
    # Both would otherwise be files outside the state folder.
    command += ("--no-control-socket", "--worker-tmp-dir", str(home.run))
    return Process("web", command, lambda _pid: _status(port, "/api/health") == 200)


def worker(home: Home, queue: str, threads: int) -> Process:
    command = _celery("worker", "-Q", queue, "-n", f"{queue}@%h")
    command += ("-P", "threads", "-c", str(threads), "-l", "INFO", "--without-gossip", "--without-mingle")
    name = f"worker-{queue}"
    # Killed with the manager: the rows in PostgreSQL say what was left undone, so nothing is lost. When asked
    # to stop, running tasks get a few seconds.
    return Process(name, command, lambda pid: _said_ready(home, name, pid), death="KILL", stop_seconds=8)


def beat(home: Home) -> Process:
    command = _celery("beat", "-l", "INFO", "--pidfile=")
    command += ("-s", str(home.path / "celerybeat-schedule"))
    return Process("beat", command, lambda pid: _said_ready(home, "beat", pid))


def flower(port: int) -> Process:
    """Its login comes from FLOWER_BASIC_AUTH: on the command line everybody could read it."""
    command = _celery("flower", "--address=127.0.0.1", f"--port={port}")
    return Process("flower", command, lambda _pid: _status(port, "/healthcheck") == 200, stop_seconds=5)


def ready_folder(home: Home) -> Path:
    return home.run / "ready"


def guarded(death: str, parent: str) -> list[str]:
    """The words to put before a command that has to end with its parent (huntaze/guard.py)."""
    guard = str(CLONE / "huntaze" / "guard.py")
    return [sys.executable, "-I", "-S", guard, death, "--parent", parent, "--"]


def _said_ready(home: Home, name: str, pid: int) -> bool:
    try:
        return (ready_folder(home) / name).read_text() == str(pid)
    except FileNotFoundError:
        return False


def _status(port: int, path: str) -> int:
    """The status that a server of this machine answers, 0 when it doesn't."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
