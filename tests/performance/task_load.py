"""Publish a module's `noop` some times, and print how many were executed per second."""

import argparse
import importlib
import sys
import time

_POLL_SECONDS = 0.002
_GIVE_UP_SECONDS = 50


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.task_load", description=__doc__)
    parser.add_argument("module")
    parser.add_argument("queue")
    parser.add_argument("tasks", type=int)
    given = parser.parse_args()
    module = importlib.import_module(given.module)
    module.app.loader.import_default_modules()  # which sets Django up, where the app is Django's
    noop = module.noop
    with module.app.connection_for_write() as connection:
        redis = connection.default_channel.client
        started = time.monotonic()
        for _ in range(given.tasks):
            noop.delay()
        while redis.llen(given.queue) or redis.hlen("unacked"):
            if time.monotonic() > started + _GIVE_UP_SECONDS:
                sys.exit(f"{redis.llen(given.queue)} of {given.tasks} tasks still wait: no worker?")
            time.sleep(_POLL_SECONDS)
    sys.stdout.write(f"{given.tasks / (time.monotonic() - started)}\n")


if __name__ == "__main__":
    main()
