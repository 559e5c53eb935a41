"""The limiter's logs in Redis: one script call per visit, any number of them in one round trip."""

import hashlib
import threading
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.messaging.limiter.rules import (
    Ended,
    LimiterUnavailableError,
    Log,
    MissingLogsError,
    Refusal,
    Rule,
    StaleEpochError,
    Verdict,
    Visit,
    member,
)

PREFIX = "huntaze:limiter"
# A claim waits for the limiter with its transaction open: no longer than this, and no second time.
PATIENCE_S = 0.25
# How many visits one call of the script decides: enough that its own costs don't matter, and few enough that
# nobody waits long for Redis, and that we write the next call while it decides.
_VISITS_A_CALL = 10
_NOBODY = "-" * 22

Item = TypeVar("Item")
_SCRIPT = (Path(__file__).parent / "limiter.lua").read_bytes()
_SHA = hashlib.sha1(_SCRIPT, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Stamp:
    at: int
    member: str


@dataclass(frozen=True, slots=True)
class Contents:
    """A log as it is to be loaded; `horizon` says how far back it is complete, 0 if it need not.

    `claims`: how many claims the rows know to have granted an account something; None for other logs.
    """

    log: Log
    horizon: int
    idle: int
    stamps: Sequence[Stamp]
    claims: int | None = None


class RedisLogs:
    """Redis behind the limiter: connections that know which server they reach.

    A server that was started again may have lost the latest stamps, however much of its file it has read.
    It has another `run_id` then, which each connection learns when it is made, so that the epoch it sends is
    refused.
    """

    def __init__(self, url: str) -> None:
        self._pool = redis.ConnectionPool.from_url(
            url,
            socket_timeout=PATIENCE_S,
            socket_connect_timeout=PATIENCE_S,
            retry=Retry(NoBackoff(), 0),
            redis_connect_func=_greet,
            protocol=2,
            max_connections=1000,
        )

    @contextmanager
    def connection(self) -> Iterator["RedisConnection"]:
        """A connection of one's own. Raises LimiterUnavailableError, also for whatever fails on it."""
        taken = None
        try:
            taken = self._pool.get_connection()
            yield RedisConnection(taken)
        except (redis.RedisError, OSError) as error:
            if taken is not None:
                taken.disconnect()  # type: ignore[no-untyped-call]  # redis leaves it out
            raise LimiterUnavailableError(f"{type(error).__name__}: {error}") from error
        except BaseException:  # also what ends a thread or a test: an answer may still be under way on it
            if taken is not None:
                taken.disconnect()  # type: ignore[no-untyped-call]  # redis leaves it out
            raise
        finally:
            if taken is not None:
                self._pool.release(taken)

    def close(self) -> None:
        self._pool.disconnect()


def _greet(connection: Any) -> None:
    """Learn which server this is, and teach it the script."""
    connection.on_connect()
    connection.send_command("INFO", "server")
    facts = connection.read_response()
    text = facts.decode() if isinstance(facts, bytes) else str(facts)
    connection.run_id = next(
        line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("run_id:")
    )
    connection.send_command("SCRIPT", "LOAD", _SCRIPT)
    connection.read_response()


class RedisConnection:
    """Calls of the script. Each names the epoch's number; the answers to all of a batch come together."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @property
    def run_id(self) -> str:
        return str(self._connection.run_id)

    def time(self) -> int:
        """Redis's clock, in microseconds since 1970."""
        seconds, rest = self._run([_packed(("TIME",))])[0]
        return int(seconds) * 1_000_000 + int(rest)

    def kept_epoch(self) -> tuple[int, bool]:
        """The number of the epoch that Redis keeps (0: none), and whether it began on this very server."""
        (kept,) = self._run([_packed(["GET", f"{PREFIX}:epoch"])])
        number, _, run_id = (kept or b"0").decode().partition(":")
        return int(number), run_id == self.run_id

    def set_epoch(self, number: int) -> None:
        """Put an epoch in force on this very server."""
        self._run([_packed(("SET", f"{PREFIX}:epoch", self._token(number)))])

    def reserve(
        self, visits: Sequence[Visit], *, epoch: int, ahead: int, now: int | None = None
    ) -> list[Verdict | None]:
        """Decide the visits; None where the account's log has to be loaded first.

        Raises StaleEpochError, and MissingLogsError where others have to be: then nothing is granted.
        """
        calls = (
            self._reserve(some, epoch=epoch, ahead=ahead, now=now) for some in _sliced(visits, _VISITS_A_CALL)
        )
        answers = [answer for found in self._run(calls) for answer in _accepted(found)]
        missing = [visit for visit, answer in zip(visits, answers, strict=True) if answer[0] == b"missing"]
        if missing:
            self._give_back(visits, answers, epoch=epoch, now=now)
            raise MissingLogsError({log for visit in missing for log in visit.common_logs})
        return [
            None if answer[0] == b"load" else _verdict(visit, answer)
            for visit, answer in zip(visits, answers, strict=True)
        ]

    def _give_back(
        self, visits: Sequence[Visit], answers: Sequence[Any], *, epoch: int, now: int | None
    ) -> None:
        """Undo what was granted beside visits that couldn't be decided."""
        granted = []
        for visit, answer in zip(visits, answers, strict=True):
            if answer[0] == b"ok":
                above, account = visit.shared[:-1], visit.shared[-1]
                chosen = [visit.candidates[position] for position in _verdict(visit, answer).granted]
                granted.append(
                    (
                        account,
                        [Ended(each.message_id, each.attempt, None, (*above, *each.own)) for each in chosen],
                    )
                )
        if granted:
            self.settle(granted, epoch=epoch, now=now)

    def settle(
        self, attempts: Sequence[tuple[Log, Sequence[Ended]]], *, epoch: int, now: int | None = None
    ) -> list[int | None]:
        """Correct or give back the stamps of each account; the waits of those that had no slot before.

        Raises StaleEpochError.
        """
        calls = (self._settle(some, epoch=epoch, now=now) for some in _sliced(attempts, _VISITS_A_CALL))
        waits = (int(wait) for found in self._run(calls) for wait in _accepted(found))
        return [wait if wait >= 0 else None for wait in waits]

    def load(self, logs: Iterable[Contents], *, epoch: int) -> None:
        """Say what logs hold: accounts' anew, others' if they don't reach as far. Raises StaleEpochError."""
        # A recipient's stamps are told apart by the name that they have in the account's log.
        logs = list(logs)
        recipients = {
            stamp.member: contents.log.subject_id
            for contents in logs
            if contents.log.layer == "recipient"
            for stamp in contents.stamps
        }
        for answer in self._run(
            self._load(contents, recipients, epoch=epoch)
            for contents in logs
            if contents.log.layer != "recipient"
        ):
            _accepted(answer)

    def state(self, logs: Sequence[Log], *, epoch: int, now: int | None = None) -> list[tuple[int, int]]:
        """The free slots of each log, -1 where it doesn't reach far enough to tell, and its wait.

        Raises StaleEpochError.
        """
        call = _Call("state", self._token(epoch), now)
        call.add(len(logs))
        for log in logs:
            call.add_log(log, needs=log.needs)
        (answer,) = self._run([call.packed()])
        numbers = _accepted(answer)
        return list(zip(numbers[::2], numbers[1::2], strict=True))

    def _reserve(self, visits: Sequence[Visit], *, epoch: int, ahead: int, now: int | None) -> bytes:
        call = _Call("reserve", self._token(epoch), now)
        call.add(ahead, len(visits))
        for visit in visits:
            call.add(visit.claims, len(visit.shared))
            for log in visit.shared[:-1]:
                call.add_log(log, needs=log.needs)
            call.add_log(visit.shared[-1], needs=visit.horizon)
            call.add(len(visit.candidates))
            for each in visit.candidates:
                others, recipient = _split(each.own)
                call.add(
                    _name(recipient, each.member),
                    call.kind(recipient, needs=0) if recipient else 0,
                    len(others),
                )
                for log in others:
                    call.add_log(log, needs=log.needs)
        return call.packed()

    def _settle(
        self, attempts: Sequence[tuple[Log, Sequence[Ended]]], *, epoch: int, now: int | None
    ) -> bytes:
        call = _Call("settle", self._token(epoch), now)
        call.add(len(attempts))
        in_logs: dict[int, list[int]] = {}
        number = 0
        for account, ended in attempts:
            call.add_log(account, needs=0)
            call.add(len(ended))
            for each in ended:
                number += 1
                others, recipient = _split(each.logs)
                name = _name(recipient, member(each.message_id, each.attempt))
                call.add(name, -1 if each.age is None else each.age)
                for log in others:
                    in_logs.setdefault(call.position(log), []).append(number)
        call.add(len(in_logs))
        for position, numbers in in_logs.items():
            call.add(position, len(numbers), *(numbers if len(numbers) < number else ()))
        return call.packed()

    def _load(self, contents: Contents, recipients: Mapping[str, UUID | None], *, epoch: int) -> bytes:
        call = _Call("load", self._token(epoch), None)
        claims = -1 if contents.claims is None else contents.claims
        call.add(1, call.position(contents.log), contents.horizon, contents.idle, claims)
        call.add(len(contents.stamps))
        for stamp in contents.stamps:
            name = stamp.member
            if contents.log.layer == "account":
                name = f"{_shortened(recipients.get(name))}{name}"
            call.add(stamp.at, name)
        return call.packed()

    def _token(self, number: int) -> str:
        return f"{number}:{self._connection.run_id}"

    def _run(self, commands: Iterable[bytes]) -> list[Any]:
        """Send commands and read all answers. Raises redis.RedisError.

        Each goes out when it is written, so that the server works on it meanwhile. It keeps the answers that
        nobody has read yet, so this can't get stuck.
        """
        sent = 0
        for command in commands:
            self._connection.send_packed_command([command])
            sent += 1
        answers = []
        failure: redis.RedisError | None = None
        for _ in range(sent):
            try:
                answers.append(self._connection.read_response())
            except redis.ResponseError as error:
                failure = error
        if failure is not None:
            raise failure
        return answers


def _accepted(answer: Sequence[Any]) -> Sequence[Any]:
    """What the script says. Raises StaleEpochError."""
    if answer[0] != b"ok":
        raise StaleEpochError
    return answer[1:]


def _sliced(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _split(own: Sequence[Log]) -> tuple[Sequence[Log], Log | None]:
    """A candidate's own logs, its recipient's being the last if it has one."""
    return (own[:-1], own[-1]) if own and own[-1].layer == "recipient" else (own, None)


def _name(recipient: Log | None, member: str) -> str:
    """What an attempt is called in its account's log."""
    return f"{_shortened(recipient.subject_id if recipient else None)}{member}"


def _shortened(recipient_id: UUID | None) -> str:
    """22 characters: with any more, Redis would no longer keep a small log packed."""
    return b2a_base64(recipient_id.bytes)[:22].decode() if recipient_id else _NOBODY


def _packed(words: Sequence[object]) -> bytes:
    """A command as Redis's protocol has it; all words are ASCII."""
    texts = [str(word) for word in words]
    return (f"*{len(texts)}\r\n" + "".join([f"${len(text)}\r\n{text}\r\n" for text in texts])).encode("ascii")


class _Call:
    """The words of one script call. Logs and their kinds are named once, then referred to by number."""

    def __init__(self, operation: str, token: str, now: int | None) -> None:
        self._head = (operation, token, "" if now is None else now)
        self._keys = [f"{PREFIX}:epoch"]
        self._prefix = f"{PREFIX}:{token.partition(':')[0]}:"
        self._positions: dict[str, int] = {}
        self._kinds: dict[tuple[int, tuple[Rule, ...]], int] = {}
        self._words: list[object] = []

    def add(self, *words: object) -> None:
        self._words += words

    def position(self, log: Log) -> int:
        name = log.name
        position = self._positions.get(name)
        if position is None:
            self._keys.append(self._prefix + name)
            self._positions[name] = position = len(self._keys)
        return position

    def kind(self, log: Log, *, needs: int) -> int:
        return self._kinds.setdefault((needs, log.rules), len(self._kinds) + 1)

    def add_log(self, log: Log, *, needs: int) -> None:
        self._words += (self.position(log), self.kind(log, needs=needs))

    def packed(self) -> bytes:
        kinds: list[object] = [len(self._kinds)]
        for needs, rules in self._kinds:
            kinds += (needs, len(rules))
            for rule in rules:
                kinds += (rule.count, rule.window)
        return _packed(["EVALSHA", _SHA, len(self._keys), *self._keys, *self._head, *kinds, *self._words])


def _verdict(visit: Visit, answer: Sequence[int]) -> Verdict:
    """What the answer says; it names, by position from 1, only those that were not granted."""
    shared = len(visit.shared)
    waits, rest = tuple(answer[1 : 1 + shared]), answer[1 + shared :]
    refused: dict[int, Refusal] = {}
    not_granted = set()
    for position, code, wait in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        not_granted.add(position - 1)
        if code > 0:
            log = visit.candidates[position - 1].own[code - 1]
            refused[position - 1] = Refusal(log, wait)
    granted = tuple(each for each in range(len(visit.candidates)) if each not in not_granted)
    return Verdict(granted=granted, refused=refused, waits=waits)


_logs: dict[str, RedisLogs] = {}
_making = threading.Lock()


def redis_logs(url: str) -> RedisLogs:
    """The process's connections to a Redis; threads share the pool, each call has a connection of its own."""
    with _making:
        if url not in _logs:
            _logs[url] = RedisLogs(url)
        return _logs[url]
