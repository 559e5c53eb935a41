"""How the tables bear a million messages over a thousand accounts: time, log, size, updates in their page.

    python -m tests.performance.storage [--messages N] [--accounts N] [--send N] [--fillfactor PERCENT]

It runs the product's own services on a PostgreSQL and a Redis of its own. The platform isn't asked: each
granted message is recorded as sent. The figures are in docs/dispatch.md.
"""

import argparse
import os
import subprocess
import sys

import psycopg
from psycopg import sql

from huntaze import embedded
from tests.live import live_stack
from tests.performance.harness import ROOT

HOME = ROOT / "var" / "storage"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.storage", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--send", type=int, default=50_000, help="so many of them are sent")
    parser.add_argument("--fillfactor", type=int, help="of the messages, instead of the migrations'")
    given = parser.parse_args()
    embedded.remove(HOME)
    try:
        with live_stack(HOME, only=()) as stack:
            if given.fillfactor:
                _set_fillfactor(stack.urls.superuser, given.fillfactor)
            environment = {**os.environ, **stack.environment, "HUNTAZE_LOG_LEVEL": "ERROR"}
            # Never called; without an address nothing would be claimed.
            environment["ONLYFANS_API_URL"] = "http://127.0.0.1:9"
            numbers = [str(each) for each in (given.messages, given.accounts, given.send)]
            command = [sys.executable, "-m", "tests.performance.storage_load", stack.urls.superuser, *numbers]
            subprocess.run(command, cwd=ROOT, env=environment, check=True)
    finally:
        embedded.remove(HOME)


def _set_fillfactor(superuser: str, percent: int) -> None:
    statement = sql.SQL("ALTER TABLE messaging_message SET (fillfactor = {})").format(sql.Literal(percent))
    with psycopg.connect(superuser, dbname="huntaze") as connection:
        connection.execute(statement)


if __name__ == "__main__":
    main()
