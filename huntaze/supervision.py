"""supervisord as a child of ours: its configuration, its start and end, and what it knows of a process."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from huntaze.places import CLONE, Home, StartError
from huntaze.processes import Process, guarded

# An exit within these seconds counts as a failed start, and failed starts are repeated ever more slowly.
_STARTING_SECONDS = 10
_STOP_SECONDS = 40

# Paths and commands come from the environment, since a `;`, `#` or `%` in a path would need three different
# escapes here; what is relative is so to the state folder, in which supervisord runs.
_HEAD = """\
[unix_http_server]
file=%(ENV_HUNTAZE_SUPERVISOR_SOCKET)s
chmod=0700
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisord]
nodaemon=true
silent=true
logfile=log/supervisord.log
logfile_maxbytes=10MB
logfile_backups=3
pidfile=run/supervisord.pid
"""
_PROGRAM = """\
[program:{name}]
command={guard} {death} --parent %(ENV_HUNTAZE_GUARD_PID)s -- %(ENV_HUNTAZE_RUN_{variable})s
directory=%(ENV_HUNTAZE_CLONE)s
autostart=false
autorestart=true
startsecs={starting}
startretries=1000000
stopsignal={stop}
stopwaitsecs={stop_seconds}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile=log/{name}.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""
# What belongs to a group stops at once; groups stop one after the other, the services last.
_GROUP = """\
[group:{name}]
programs={programs}
priority={priority}
"""


class Supervisor:
    """supervisord while it runs. Methods raise StartError when it has gone."""

    def __init__(self, home: Home, process: "subprocess.Popen[bytes]", groups: Mapping[str, str]) -> None:
        self._url = f"unix://{home.sockets / 'supervisor.sock'}"
        self._process = process
        self._groups = groups

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self, name: str) -> None:
        self._call("startProcess", self._full(name), False)

    def stop(self, name: str) -> None:
        """Stop a process and wait for its end."""
        self._call("stopProcess", self._full(name), True)

    def pid_of(self, name: str) -> int:
        """The process id, 0 while it isn't running."""
        return int(self._call("getProcessInfo", self._full(name))["pid"])

    def answers(self) -> bool:
        try:
            return bool(self._call("getState"))
        except (OSError, StartError):
            return False

    def _full(self, name: str) -> str:
        return f"{self._groups[name]}:{name}"

    def _call(self, method: str, *arguments: object) -> Any:
        if self.ended:
            raise StartError("the process manager has ended: see supervisord.log in the log folder")
        # A proxy each time: one holds one connection, which two threads can't share.
        with xmlrpc.client.ServerProxy(
            "http://127.0.0.1", transport=SupervisorTransport(None, None, self._url)
        ) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)


@contextlib.contextmanager
def supervising(
    home: Home, processes: Sequence[Process], environment: Mapping[str, str], *, lock: int
) -> Iterator[Supervisor]:
    """Run supervisord, with nothing started yet; at the end it stops everything.

    It inherits `lock`, so the state folder counts as in use until it has gone, even if we are killed.
    """
    (home.run / "supervisord.conf").write_text(_configuration(processes))
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", "run/supervisord.conf"]
    with (home.log / "supervisord.err").open("wb") as errors:
        process = subprocess.Popen(
            [*guarded("TERM", str(os.getpid())), *command],
            cwd=home.path,
            env={
                **environment,
                **{f"HUNTAZE_RUN_{_variable(one)}": shlex.join(one.command) for one in processes},
                "HUNTAZE_SUPERVISOR_SOCKET": str(home.sockets / "supervisor.sock"),
                "HUNTAZE_CLONE": str(CLONE),
                "HUNTAZE_PYTHON": shlex.quote(sys.executable),
                "HUNTAZE_GUARD": shlex.quote(str(CLONE / "huntaze" / "guard.py")),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            pass_fds=[lock],
            # Ctrl-C reaches us alone, and we stop it.
            start_new_session=True,
        )
    groups = {one.name: _group(one) for one in processes}
    supervisor = Supervisor(home, process, groups)
    try:
        while not supervisor.answers():
            if supervisor.ended:
                words = (home.log / "supervisord.err").read_text(errors="replace").strip().splitlines()
                raise StartError(
                    f"the process manager could not start: {words[-1] if words else 'no reason'}"
                )
            time.sleep(0.05)
        yield supervisor
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # and the kernel ends what it had started
        process.wait()


def _configuration(processes: Sequence[Process]) -> str:
    # As root supervisord asks to be told that this is meant.
    text = _HEAD + ("user=root\n" if os.geteuid() == 0 else "")
    for one in processes:
        text += _PROGRAM.format(
            name=one.name,
            variable=_variable(one),
            guard="%(ENV_HUNTAZE_PYTHON)s -I -S %(ENV_HUNTAZE_GUARD)s",
            death=one.death,
            starting=_STARTING_SECONDS,
            stop=one.stop,
            stop_seconds=one.stop_seconds,
        )
    for group, priority in (("services", 100), ("application", 200)):
        names = [one.name for one in processes if _group(one) == group]
        if names:
            text += _GROUP.format(name=group, programs=",".join(names), priority=priority)
    return text


def _group(process: Process) -> str:
    return "services" if process.service else "application"


def _variable(process: Process) -> str:
    return process.name.upper().replace("-", "_")
