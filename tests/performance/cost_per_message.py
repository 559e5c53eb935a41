"""What a message costs: `python -m tests.performance.cost_per_message` prints a table, per message sent.

Counted twice: with ten messages a visit (an account that has been idle, or whose limit is generous), and with
one (an account whose slots open one by one), which is what dispatch does worst.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import redis
from rich.console import Console
from rich.table import Column, Table

from huntaze import embedded
from huntaze.places import StartError
from huntaze.stack import Stack
from tests.live import live_stack
from tests.performance.dispatching import LIMITS, Gateway, gateway, processor_time, rate_of, warm_up, workers
from tests.performance.harness import ROOT
from tests.performance.rows import Population, Rows
from tests.performance.running import RoundError

ACCOUNTS = 200
_TABLES = ("messaging_message", "messaging_account", "messaging_outbox")
_CHANGES = (
    "SELECT relname, n_tup_ins, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = ANY(%s)"
)
# A line of the server's log that begins a statement of the application's.
_STATEMENT = re.compile(r"^\S*huntaze_app@\S+ LOG: +(?:statement|execute [^:]*): +(\w+)", re.MULTILINE)


@dataclass
class Counts:
    """What has been counted so far."""

    statements: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    redis: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)

    def since(self, earlier: "Counts") -> "Counts":
        return Counts(
            self.statements - earlier.statements,
            self.rows - earlier.rows,
            self.redis - earlier.redis,
            self.seconds - earlier.seconds,
        )


class Probe:
    """Counts what a stack does, from outside: the server's log and statistics, and Redis's own counters."""

    def __init__(self, stack: Stack, rows: Rows) -> None:
        self._stack, self._rows = stack, rows
        self._redis = redis.Redis.from_url(stack.urls.redis)
        self.pids: dict[str, int] = {}

    @contextmanager
    def logging_statements(self) -> Iterator[None]:
        with self._rows.connection() as connection:
            connection.execute("ALTER SYSTEM SET log_statement = 'all'")
            connection.execute("SELECT pg_reload_conf()")
            yield
            connection.execute("ALTER SYSTEM RESET log_statement")
            connection.execute("SELECT pg_reload_conf()")

    def counts(self) -> Counts:
        found = Counts()
        words = _STATEMENT.findall(self._stack.log_of("postgres").read_text(errors="replace"))
        found.statements.update(word.upper() for word in words)
        with self._rows.connection() as connection:
            # Sessions report what they did when they fall idle, at most once a second.
            connection.execute("SELECT pg_stat_force_next_flush(), pg_sleep(1.5)")
            for table, inserted, updated, hot in connection.execute(_CHANGES, [list(_TABLES)]).fetchall():
                name = table.removeprefix("messaging_")
                found.rows.update({f"{name} versions": inserted + updated, f"{name} hot": hot})
        for name, facts in self._redis.info("commandstats").items():
            found.redis[name.removeprefix("cmdstat_")] = facts["calls"]
        everybody = {name: self._stack.pid_of(name) for name in ("postgres", "redis")}
        found.seconds.update(processor_time({**everybody, **self.pids}))
        return found

    def bytes_per_log(self) -> dict[str, float]:
        """The mean size in Redis of a log, by layer."""
        sizes: dict[str, list[int]] = {}
        for key in self._redis.scan_iter("huntaze:limiter:*:*", count=1000):
            layer = key.decode().split(":")[3]
            sizes.setdefault(layer, []).append(self._redis.memory_usage(key, samples=0) or 0)
        return {layer: sum(found) / len(found) for layer, found in sizes.items()}


def cost(stack: Stack, rows: Rows, sink: Gateway, *, each: int) -> tuple[Counts, dict[str, float], int]:
    """What so many messages of each account cost, the logs' sizes then, and how many messages it were."""
    probe = Probe(stack, rows)
    with workers(stack, sink) as probe.pids:
        warm_up(rows, sink)
        rows.clear()
        messages = rows.enqueue(each=each)
        with probe.logging_statements():
            before = probe.counts()
            rate_of(rows, sink, messages=messages, start=rows.release)
            return probe.counts().since(before), probe.bytes_per_log(), messages


def table(title: str, counts: Counts, sizes: dict[str, float], messages: int) -> Table:
    shown = Table("What", Column("Per message", justify="right"), title=title)
    transactions = counts.statements.pop("COMMIT", 0)
    counts.statements.pop("BEGIN", 0)
    shown.add_row("SQL statements", f"{counts.statements.total() / messages:.3f}")
    shown.add_row("transactions", f"{transactions / messages:.3f}")
    for name, number in counts.rows.items():
        shown.add_row(f"row versions: {name}", f"{number / messages:.3f}")
    shown.add_row("limiter's script calls", f"{counts.redis['evalsha'] / messages:.3f}")
    shown.add_row("Redis commands, in the script too", f"{counts.redis.total() / messages:.3f}")
    shown.add_row("broker messages", f"{counts.redis['lpush'] / messages:.3f}")
    for name, seconds in counts.seconds.items():
        shown.add_row(f"processor time: {name}", f"{seconds * 1e6 / messages:,.0f} µs")
    for layer, size in sizes.items():
        shown.add_row(f"bytes of a log: {layer}", f"{size:,.0f}")
    return shown


def main() -> None:
    home = ROOT / "var" / "cost"
    console = Console(highlight=False)
    embedded.remove(home)
    try:
        for each in (10, 1):
            with live_stack(home, only=("beat",)) as stack, gateway(stack) as sink:
                rows = Rows(stack, Population(accounts=ACCOUNTS, fans=10))
                rows.populate(LIMITS)
                console.print(table(f"{each} a visit", *cost(stack, rows, sink, each=each)))
            embedded.remove(home)
    except (StartError, RoundError) as error:
        sys.exit(f"cost: {error}")
    finally:
        embedded.remove(home)


if __name__ == "__main__":
    main()
