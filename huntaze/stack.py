"""The whole of Huntaze on one machine: `python -m huntaze.stack up`; `running()` for the demo and tests.

supervisord starts the processes again when they die, ever more slowly if they keep dying. When this process
ends, however it ends, so does all that it started (huntaze/guard.py).
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from huntaze import embedded, embedded_postgres, outside, processes, secrets
from huntaze.logs import Follower
from huntaze.places import CLONE, Home, StartError
from huntaze.plan import Plan, planned
from huntaze.processes import Process
from huntaze.supervision import Supervisor, supervising

_READY_SECONDS = 120
_PREPARE_SECONDS = 300
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stack:
    """A stack that runs. URLs have no slash at the end; a stand-in's is empty where the real one is used."""

    def __init__(self, plan: Plan, supervisor: Supervisor) -> None:
        self.home = plan.home.path
        self.urls = plan.urls
        self.base_url = plan.base_url
        self.flower_url = plan.flower_url
        self.ai_url = plan.ai_url
        self.gateway_url = plan.gateway_url
        self.environment = plan.environment
        self.supervisor = supervisor
        self._place = plan.home
        self._processes = {one.name: one for one in plan.processes}

    @property
    def names(self) -> list[str]:
        return list(self._processes)

    def pid_of(self, name: str) -> int:
        """The process id, 0 while it isn't running."""
        return self.supervisor.pid_of(name)

    def log_of(self, name: str) -> Path:
        return self._place.log / f"{name}.log"

    def start(self, *names: str) -> None:
        """Start processes and wait until they do their work. Raises StartError."""
        for name in names:
            self.supervisor.start(name)
        self.wait_ready(*names)

    def stop(self, name: str) -> None:
        """Stop a process and leave it stopped."""
        self.supervisor.stop(name)

    def wait_ready(self, *names: str, unlike: int = 0, seconds: float = _READY_SECONDS) -> None:
        """Wait until these do their work. Raises StartError with what one of them said.

        `unlike` is a process id that doesn't count: that of one just killed, whose death may not have been
        noticed yet.
        """
        deadline = time.monotonic() + seconds
        waiting = [self._processes[name] for name in names]
        seen: dict[str, set[int]] = {name: set() for name in names}
        while waiting := [one for one in waiting if not self._is_ready(one, seen[one.name], unlike)]:
            if time.monotonic() > deadline:
                late = ", ".join(one.name for one in waiting)
                raise StartError(f"not ready after {seconds:.0f} s: {late}; see {self._place.log}")
            time.sleep(0.1)

    def manage(self, *arguments: str) -> str:
        """Run manage.py with the environment of the processes; what it prints. Raises StartError."""
        done = subprocess.run(
            [*processes.guarded("TERM", str(os.getpid())), sys.executable, "manage.py", *arguments],
            cwd=CLONE,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PREPARE_SECONDS,
            check=False,
        )
        with (self._place.log / "manage.log").open("a") as log:
            log.write(f"manage.py {arguments[0]}\n{done.stderr}")
        if done.returncode:
            words = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no reason given"]
            raise StartError(
                f"manage.py {arguments[0]} failed: {words[-1]}; see {self._place.log}/manage.log"
            )
        return done.stdout

    def _is_ready(self, process: Process, seen: set[int], unlike: int) -> bool:
        pid = self.pid_of(process.name)
        if pid and pid != unlike:
            seen.add(pid)
            return process.ready(pid)
        if seen:
            # It has ended: at once for a reason that it put in words, otherwise after a few attempts.
            words = embedded.last_words(self._place, process.name)
            if len(seen) > 2 or not words.startswith(f"{process.name} ended: "):
                raise StartError(words)
        return False


@contextlib.contextmanager
def running(
    *,
    env_overrides: Mapping[str, str | None] | None = None,
    only: Collection[str] | None = None,
    say: Callable[[str], object] = lambda _line: None,
    log: Callable[[str], object] | None = None,
    colour: bool = False,
) -> Iterator[Stack]:
    """Start the stack that the environment describes, wait until all of it works, and stop it at the end.

    `env_overrides` replaces variables (None removes one), `only` names the processes wanted besides the
    embedded services. `say` is told what is going on, `log` gets the prefixed lines of all processes. Call it
    from a thread that stays. Raises StartError.
    """
    given = dict(os.environ)
    for name, value in (env_overrides or {}).items():
        if value is None:
            given.pop(name, None)
        else:
            given[name] = value
    home = Home.of(Path(given.get("HUNTAZE_HOME") or CLONE / "var"))
    home.prepare()
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(home.lock("stack"))
        stack.callback(home.remove_sockets, held=("stack",))
        home.prepare()  # whoever had the lock until now has removed what it no longer needed
        outside.check(given)
        plan = stack.enter_context(planned(home, given))
        for note in plan.notes:
            say(note)
        _empty(processes.ready_folder(home))
        _empty(home.run / "metrics")
        wanted = [one for one in plan.processes if only is None or one.service or one.name in only]
        if log:
            stack.enter_context(Follower(home.log, [one.name for one in wanted], write=log, colour=colour))
        supervisor = stack.enter_context(supervising(home, wanted, plan.environment, lock=lock))
        started = Stack(plan, supervisor)
        _start(started, plan, wanted, say)
        yield started


def _start(stack: Stack, plan: Plan, wanted: Sequence[Process], say: Callable[[str], object]) -> None:
    services = [one.name for one in wanted if one.service]
    if services:
        say(f"starting {' and '.join(services)}")
        stack.start(*services)
    if plan.embeds_postgres:
        embedded_postgres.provision(plan.urls.superuser)
    say("preparing the database")
    stack.manage("prepare")
    rest = [one.name for one in wanted if not one.service]
    if rest:
        say(f"starting {', '.join(rest)}")
        stack.start(*rest)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def up() -> None:
    """Run until Ctrl-C, TERM, a closed terminal, or the end of the process manager. Raises StartError."""
    for number in _ENDINGS:
        # nohup's wish is respected, but not that of a shell that starts us in the background.
        if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    # A pipe has no width; cut URLs would be of no use.
    width = None if sys.stdout.isatty() else 120
    console = Console(highlight=False, markup=False, soft_wrap=True, width=width)

    def log(text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # a pager that was closed; the files have it all
            sys.stdout.write(text)
            sys.stdout.flush()

    def say(line: str) -> None:
        console.print(Text.assemble(("huntaze", "bold"), f": {line}"))

    try:
        with running(say=say, log=log, colour=console.is_terminal) as stack:
            console.print(_addresses(stack))
            say(f"logs are in {stack.home / 'log'}; Ctrl-C stops everything")
            while not stack.supervisor.ended:
                time.sleep(0.2)
            raise StartError("the process manager ended, so everything was stopped: run it again")
    except KeyboardInterrupt:
        say("stopped; the data is kept")


def _addresses(stack: Stack) -> Table:
    own = secrets.load(stack.home)
    table = Table("What", Column("Where", overflow="fold"), Column("Login", overflow="fold"))
    table.add_row("Admin", f"{stack.base_url}/admin/", f"{secrets.ADMIN_EMAIL}  {own.admin_password}")
    table.add_row("API", f"{stack.base_url}/api/docs", "manage.py create_api_key")
    table.add_row("Health", f"{stack.base_url}/api/health", "")
    table.add_row("Metrics", f"{stack.base_url}/api/metrics", "")
    table.add_row("Flower", stack.flower_url, stack.environment["FLOWER_BASIC_AUTH"].replace(":", "  ", 1))
    if stack.ai_url:
        table.add_row("Stand-in AI providers", stack.ai_url, "")
    if stack.gateway_url:
        table.add_row("Stand-in platform", stack.gateway_url, "")
    return table


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    for number in _ENDINGS:
        # Stopping takes seconds, not for ever: a second Ctrl-C would only leave it to the kernel.
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m huntaze.stack", description="Run all of Huntaze.")
    parser.add_argument("command", choices=["up"])
    parser.parse_args()
    try:
        up()
    except StartError as error:
        sys.exit(f"huntaze: {error}")


if __name__ == "__main__":
    main()
