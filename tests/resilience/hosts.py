"""A site: a stack, and hosts with a dispatch worker each that reach it by ways of their own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import redis

from huntaze import embedded_redis, processes
from huntaze.places import CLONE, Home
from huntaze.stack import Stack
from tests.live import Platform, live_stack
from tests.resilience.network import Network, Way, network
from tests.resilience.rabbit import RabbitNode
from tests.waiting import wait_until

HOSTS = 3
_THREADS = 8
_START_SECONDS = 60


class Host:
    """A dispatch worker on a machine of its own: it can be killed, and cut off."""

    def __init__(self, name: str, services: Stack, ways: Network, node: RabbitNode | None) -> None:
        self.name = name
        home = Home.of(services.home)
        self.redis = ways.way(embedded_redis.socket_path(home))
        self.postgres = ways.way(home.postgres_sockets / ".s.PGSQL.5432")
        self.broker = ways.way(node.port) if node else self.redis
        self.gateway = ways.way(urlsplit(services.gateway_url).port or 0)
        self._log = services.log_of(name)
        self._ready = processes.ready_folder(home) / name
        worker = processes.worker(home, "dispatch", _THREADS)
        # The last name counts.
        self._command = [
            *processes.guarded("KILL", str(os.getpid())),
            *worker.command,
            "-n",
            f"{name}@%h",
        ]
        database = f"@127.0.0.1:{self.postgres.port}/huntaze"
        amqp = f"amqp://guest:guest@127.0.0.1:{self.broker.port}//"
        self._environment = {
            **services.environment,
            "SUPERVISOR_PROCESS_NAME": name,
            "DATABASE_URL": f"postgresql://huntaze_app{database}",
            "DATABASE_OWNER_URL": f"postgresql://huntaze_owner{database}",
            "REDIS_URL": f"redis://127.0.0.1:{self.redis.port}/1",
            "CELERY_BROKER_URL": amqp if node else f"redis://127.0.0.1:{self.redis.port}/0",
            "ONLYFANS_API_URL": f"http://127.0.0.1:{self.gateway.port}/gateway",
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ready(self) -> bool:
        """Whether it takes work, or would if it were reached."""
        return (
            self._process is not None
            and self._process.poll() is None
            and self._ready.exists()
            and self._ready.read_text() == str(self._process.pid)
        )

    def start(self) -> None:
        """Start it without waiting."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=CLONE,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def keep_up(self) -> None:
        """Start it again if it has ended by itself, as a process manager does."""
        if self._process is not None and self._process.poll() is not None:
            self.start()

    def wait_ready(self) -> None:
        def ready() -> bool:
            self.keep_up()
            return self.ready

        wait_until(ready, seconds=_START_SECONDS, what=f"{self.name} (see {self._log})")

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def cut(self, *, there: bool = True, back: bool = True) -> None:
        """Cut it off from Redis, PostgreSQL and the broker, but not from the platform."""
        for way in self._ways:
            way.block(there=there, back=back)

    def drop(self) -> None:
        """Reset its connections to Redis, PostgreSQL and the broker."""
        for way in self._ways:
            way.drop()

    def heal(self) -> None:
        for way in self._ways:
            way.open()

    @property
    def _ways(self) -> list[Way]:
        return [self.redis, self.postgres, self.broker]


class Site:
    """The stack, its hosts, and RabbitMQ where that is the broker."""

    def __init__(self, services: Stack, hosts: list[Host], node: RabbitNode | None) -> None:
        self.services = services
        self.hosts = hosts
        self.node = node

    @property
    def platform(self) -> Platform:
        return Platform(self.services.gateway_url)

    def kill_service(self, name: str) -> None:
        """kill -9 of redis or postgres, then wait until it answers again."""
        pid = self.services.pid_of(name)
        psutil.Process(pid).kill()
        self.services.wait_ready(name, unlike=pid)

    def flush_redis(self) -> None:
        with redis.Redis.from_url(self.services.urls.redis) as client:
            client.flushall()

    def copy_redis(self) -> Path:
        """What Redis would read if it were started now."""
        copy = Path(tempfile.mkdtemp(dir=self.services.home)) / "redis"
        shutil.copytree(self.services.home / "redis", copy)
        return copy

    def rewind_redis(self, copy: Path) -> None:
        """Start it again from an older copy: limits, epoch and the broker's queues as they were then."""
        self.services.stop("redis")
        shutil.rmtree(self.services.home / "redis")
        shutil.move(copy, self.services.home / "redis")
        self.services.start("redis")

    def keep_up(self) -> None:
        """Start the workers again that have ended by themselves."""
        for host in self.hosts:
            host.keep_up()

    def heal(self) -> None:
        """Reach and run everything again."""
        for host in self.hosts:
            host.heal()
        for host in self.hosts:
            host.wait_ready()


@contextmanager
def running_site(
    home: Path, *, node: RabbitNode | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Site]:
    """A site of three hosts on the embedded services; the broker is Redis, or the node."""
    with ExitStack() as stack:
        services = stack.enter_context(
            live_stack(
                home,
                only=("sandbox-gateway", "beat"),
                environment={**({"CELERY_BROKER_URL": node.url} if node else {}), **(environment or {})},
            )
        )
        ways = stack.enter_context(network())
        hosts = [Host(f"host-{number + 1}", services, ways, node) for number in range(HOSTS)]
        for host in hosts:
            stack.callback(host.kill)
            host.start()
        for host in hosts:
            host.wait_ready()
        yield Site(services, hosts, node)
