"""Run a command that ends when its parent does, even when the parent is killed outright.

    python huntaze/guard.py TERM [--parent PID] -- COMMAND…

The kernel sends the signal (prctl PR_SET_PDEATHSIG), and the command keeps the guard's process id. Only the
standard library is used, so that it also runs by path with `python -I -S`, in 15 ms. Where there is no prctl
(outside Linux) the command just runs.
"""

import argparse
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(number: signal.Signals, *, parent: int | None = None) -> None:
    """Ask for `number` when the parent ends; exit now if it ended already.

    Changing the user clears the request, exec keeps it: call this between the two. The parent is the
    *thread* that started us, so start guarded processes from one that stays.
    """
    parent = parent or os.getppid()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("huntaze: the process that started this one has ended")


def main() -> None:
    parser = argparse.ArgumentParser(prog="guard", description="Run a command that ends with its parent.")
    parser.add_argument("signal", help="the signal to end it with: TERM, INT, KILL")
    parser.add_argument(
        "--parent", type=int, help="the parent's process id, to notice a death before we start"
    )
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    # A child's guard can be told this id as its --parent: exec doesn't change it.
    os.environ["HUNTAZE_GUARD_PID"] = str(os.getpid())
    die_with_parent(signal.Signals[f"SIG{arguments.signal}"], parent=arguments.parent)
    try:
        os.execvp(arguments.command[0], arguments.command)
    except OSError as error:
        sys.exit(f"huntaze: cannot run {arguments.command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
