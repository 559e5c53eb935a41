"""A Redis of a test's own, which can be killed, started again with what it kept, and made to hang."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from huntaze import embedded
from huntaze.embedded_redis import answers
from huntaze.places import CLONE, Home
from tests.huntaze.homes import environment, temporary_home
from tests.waiting import wait_until


class Server:
    def __init__(self, home: Path) -> None:
        Home.of(home).prepare()
        self.home, self.url = home, embedded.urls(home).redis

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "huntaze.embedded", "redis"],
            cwd=CLONE,
            env=environment(self.home),
            stdout=subprocess.DEVNULL,
        )
        wait_until(lambda: answers(self.url), seconds=30, what="Redis")

    def wait_until_kept(self) -> None:
        """Until its file has all that it has acknowledged: on a slow disk that may take it a second."""
        with redis.Redis.from_url(self.url) as client:
            wait_until(
                lambda: not client.info("persistence")["aof_buffer_length"], seconds=30, what="Redis's file"
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def hang(self) -> None:
        """Take connections and commands, and answer none."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def own_redis() -> Iterator[Server]:
    with temporary_home() as home:
        server = Server(home)
        try:
            server.start()
            yield server
        finally:
            server.kill()
