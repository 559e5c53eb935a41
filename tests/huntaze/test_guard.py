import signal
import subprocess
import sys

import pytest

from huntaze.places import CLONE
from tests.huntaze.homes import eventually

GUARD = [sys.executable, "-I", "-S", str(CLONE / "huntaze" / "guard.py")]


def ended(pid: int) -> bool:
    """Whether a process of another parent has gone."""
    return (
        subprocess.run(["ps", "-o", "pid=", "-p", str(pid)], capture_output=True, check=False).returncode != 0
    )


@pytest.mark.parametrize("name", ["KILL", "TERM"])
def test_a_guarded_command_ends_when_its_parent_is_killed(name: str) -> None:
    # The parent starts the guarded command, says its process id, and stays.
    script = (
        f"import subprocess; child = subprocess.Popen({[*GUARD, name, '--', 'sleep', '600']!r});"
        "print(child.pid, flush=True); child.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        # Until the guard has turned into it: before, Python itself would end with the same signal.
        assert eventually(
            lambda: b"sleep" in subprocess.check_output(["ps", "-o", "comm=", "-p", str(child)])
        )

        parent.kill()

    assert eventually(lambda: ended(child))


def test_a_command_whose_parent_is_gone_does_not_start() -> None:
    done = subprocess.run(
        [*GUARD, "TERM", "--parent", "1", "--", "echo", "started"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == "huntaze: the process that started this one has ended\n"


def test_the_command_keeps_the_process_id_and_tells_it() -> None:
    script = "import os; print(os.getpid() == int(os.environ['HUNTAZE_GUARD_PID']))"

    done = subprocess.run(
        [*GUARD, "TERM", "--", sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout == "True\n"


def test_the_status_of_the_command_is_the_guards() -> None:
    command = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]

    assert subprocess.run([*GUARD, "TERM", "--", *command], check=False).returncode == -signal.SIGKILL
