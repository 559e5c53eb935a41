"""Check the services that the environment names before anything starts: one line, not a page of retries."""

import re
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

import psycopg
import redis
from kombu import Connection

from huntaze.places import StartError

_SECONDS = 5


def check(environment: Mapping[str, str]) -> None:
    """Raise StartError for what is incomplete, unreachable or too old among the services that are named."""
    _check_complete(environment)
    for name in ("DATABASE_URL", "DATABASE_OWNER_URL"):
        if environment.get(name):
            check_postgres(name, environment[name])
    for name in ("REDIS_URL", "CACHE_REDIS_URL"):
        if environment.get(name):
            check_redis(name, environment[name])
    if environment.get("CELERY_BROKER_URL"):
        check_broker("CELERY_BROKER_URL", environment["CELERY_BROKER_URL"])
    for name in ("OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT", "ONLYFANS_API_URL"):
        if environment.get(name):
            check_http(name, environment[name])


def _check_complete(environment: Mapping[str, str]) -> None:
    needs = {
        "DATABASE_URL": ("DATABASE_OWNER_URL", "the role that owns the tables and runs migrations"),
        "DATABASE_OWNER_URL": ("DATABASE_URL", "the role of the application, see deploy/roles.sql"),
        "AZURE_OPENAI_API_KEY": ("AZURE_OPENAI_ENDPOINT", "https://….openai.azure.com"),
        "AZURE_OPENAI_ENDPOINT": ("AZURE_OPENAI_API_KEY", "its key"),
        "OPENAI_BASE_URL": ("OPENAI_API_KEY", "its key"),
    }
    for name, (other, meaning) in needs.items():
        if environment.get(name) and not environment.get(other):
            raise StartError(f"{name} is set, so {other} is needed too: {meaning}")


def check_postgres(name: str, url: str) -> None:
    try:
        with psycopg.connect(url, connect_timeout=_SECONDS) as connection:
            version = connection.info.server_version
            if version < 150000:
                raise StartError(f"{name}: PostgreSQL {version // 10000} is too old, 15 or later is needed")
            roles = connection.execute("SELECT FROM pg_roles WHERE rolname = 'huntaze_system'").fetchone()
    except psycopg.ProgrammingError as error:
        raise StartError(f"{name} is not a postgresql:// URL: {_first_line(error)}") from error
    except psycopg.Error as error:
        raise StartError(f"{name}: cannot reach PostgreSQL: {_first_line(error)}") from error
    if roles is None:
        raise StartError(f"{name}: the role huntaze_system is missing there: run deploy/roles.sql first")


def check_redis(name: str, url: str) -> None:
    try:
        # Protocol 2, since a server that is too old doesn't know how to agree on another.
        with redis.Redis.from_url(
            url, protocol=2, socket_connect_timeout=_SECONDS, socket_timeout=_SECONDS
        ) as client:
            version = str(client.info("server")["redis_version"])
            memory = client.info("memory")
    except ValueError as error:
        raise StartError(f"{name} is not a redis:// URL: {_first_line(error)}") from error
    except redis.RedisError as error:
        raise StartError(f"{name}: cannot reach Redis: {_first_line(error)}") from error
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < (6, 2):
        raise StartError(f"{name}: Redis {version} is too old, 6.2 or later is needed")
    policy = memory.get("maxmemory_policy", "noeviction")
    if name == "REDIS_URL" and int(memory.get("maxmemory", 0)) and policy != "noeviction":
        raise StartError(f"{name}: its maxmemory-policy is {policy}; the limiter needs noeviction")


def check_broker(name: str, url: str) -> None:
    scheme = urlsplit(url).scheme
    if scheme in ("redis", "rediss"):
        check_redis(name, url)
        return
    if scheme not in ("amqp", "amqps", "redis+socket"):
        raise StartError(f"{name} must start with redis://, rediss:// or amqp://")
    connection = Connection(url, connect_timeout=_SECONDS)
    # Each transport names its own errors.
    errors: tuple[type[BaseException], ...] = (*connection.connection_errors, OSError)
    try:
        connection.connect()
    except errors as error:
        raise StartError(f"{name}: cannot reach the broker: {_first_line(error)}") from error
    finally:
        connection.release()


def check_http(name: str, url: str) -> None:
    """Only that somebody listens: what the service answers needs its key."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StartError(f"{name} must be an http:// or https:// URL")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), timeout=_SECONDS).close()
    except OSError as error:
        raise StartError(f"{name}: cannot reach {parts.hostname}:{port}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    """The reason alone. Neither library's first line holds a password."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
