"""A RabbitMQ node of the test's own, from the programs of this machine, that can be killed."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import kombu

from huntaze.processes import guarded
from tests.waiting import wait_until

# Where Debian's package puts them; what is on the PATH changes the user first.
_PROGRAMS = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))
MISSING = not (_PROGRAMS and shutil.which("epmd"))
_START_SECONDS = 90


class RabbitNode:
    """One node, on ports and in a folder of its own. Its queues survive a kill."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        (folder / "plugins").write_text("[].\n")
        self.port, distribution, registry = _free_ports(3)
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            # The program becomes the server instead of starting it: what we kill is the server.
            "RUNNING_UNDER_SYSTEMD": "1",
            "RABBITMQ_NODENAME": f"chaos-{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            # Nothing of the machine's own node.
            **{
                f"RABBITMQ_{name}_FILE": str(folder / "none")
                for name in ("CONFIG", "ADVANCED_CONFIG", "CONF_ENV")
            },
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 -start_epmd false",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(registry),
        }
        self._registry = self._run("epmd")
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it without waiting."""
        self._server = self._run(str(_PROGRAMS[-1]))

    def kill(self) -> None:
        """kill -9."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()

    def wait_ready(self) -> None:
        wait_until(self._answers, seconds=_START_SECONDS, what=f"RabbitMQ (see {self._folder}/log)")

    def close(self) -> None:
        self.kill()
        self._registry.kill()
        self._registry.wait()

    def _answers(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, (self._folder / "log").read_text()[-2000:]
        connection = kombu.Connection(self.url, connect_timeout=2)
        errors: tuple[type[BaseException], ...] = (*connection.connection_errors, OSError)
        try:
            connection.connect()
        except errors:
            return False
        finally:
            connection.release()
        return True

    def _run(self, program: str) -> "subprocess.Popen[bytes]":
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*guarded("KILL", str(os.getpid())), program],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def _free_ports(number: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextmanager
def rabbit_node(folder: Path) -> Iterator[RabbitNode]:
    node = RabbitNode(folder)
    try:
        node.start()
        node.wait_ready()
        yield node
    finally:
        node.close()
