"""Ports for one stack, so that two started at the same moment don't choose the same."""

import contextlib
import errno
import socket
import sys
from collections.abc import Iterator, Mapping

from huntaze.places import StartError

_TRIES = 200


@contextlib.contextmanager
def reserved(
    variable: str, default: int, *, environment: Mapping[str, str], host: str = "127.0.0.1"
) -> Iterator[int]:
    """The port that `variable` names, or the first free one from `default` on; kept until the end.

    Raises StartError when the one that was asked for is taken, or isn't a port.
    """
    given = environment.get(variable)
    for port in [_number(variable, given)] if given else range(default, default + _TRIES):
        claim = _claim(port)
        if claim is None:
            continue
        with claim:
            problem = _problem(host, port)
            if problem == errno.EADDRINUSE:
                continue
            if problem:
                raise StartError(f"cannot listen on {host}:{port} ({variable}): {_reason(problem)}")
            yield port
            return
    if given:
        raise StartError(f"port {given} is taken by another process: set {variable} to a free one")
    raise StartError(f"no free port from {default} to {default + _TRIES - 1}: set {variable} to a free one")


def _number(variable: str, text: str) -> int:
    if text.isascii() and text.isdecimal() and 0 < int(text) < 65536:
        return int(text)
    raise StartError(f"{variable} must be a port from 1 to 65535, not {text!r}")


def _claim(port: int) -> socket.socket | None:
    """Hold the number among stacks while the process that will listen on it is still starting.

    An abstract socket (Linux) needs no file, works between users and goes with its holder, however it ends.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if sys.platform == "linux":
        try:
            claim.bind(f"\0huntaze-port-{port}")
        except OSError:
            claim.close()
            return None
    return claim


def _problem(host: str, port: int) -> int | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Like the servers: connections of a previous run that linger don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            return error.errno or errno.EINVAL
    return None


def _reason(number: int) -> str:
    if number == errno.EACCES:
        return "ports below 1024 are for root"
    return OSError(number, "").strerror or errno.errorcode.get(number, "refused")
