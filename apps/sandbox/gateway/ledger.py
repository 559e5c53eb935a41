"""The ledger of arrivals: what the gateway has seen, in order, and which keys it has accepted."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from apps.sandbox.journal import Journal, JournalError

FILE_NAME = "gateway-ledger.jsonl"


class Outcome(StrEnum):
    """What became of an arrival."""

    ACCEPTED = "accepted"  # a new delivery, whether or not the answer reached the client
    REPEATED = "repeated"  # its key was accepted before: no new delivery
    LIMITED = "limited"  # refused by the limit that the gateway was told to enforce
    FAILED = "failed"  # refused by a fault's status
    LOST = "lost"  # a fault hung or cut it before it was accepted
    REJECTED = "rejected"  # not authenticated, or no valid message


@dataclass(frozen=True, slots=True)
class Arrival:
    """One POST whose body has been read.

    `at` is in seconds since the epoch by the gateway's clock, `status` what was answered (0: nothing was),
    `text_hash` the hash of the text, `message_id` the id of the delivery that it made or repeated.
    """

    at: float
    account: str
    recipient: str
    key: str
    text_hash: str
    outcome: Outcome
    status: int
    accepted: bool
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was accepted."""

    message_id: str
    at: float


class Ledger:
    """The arrivals in a file; in memory the first delivery of every key, and the last arrival's time."""

    def __init__(self, folder: Path) -> None:
        """Open the folder's ledger and read it. Raises JournalError."""
        self._journal = Journal(folder / FILE_NAME)
        self._deliveries: dict[tuple[str, str], Delivery] = {}
        self.last_at = 0.0
        for arrival in self.arrivals():
            self._remember(arrival)

    def record(self, arrival: Arrival) -> None:
        """Append the arrival. Raises JournalWriteError, and then knows nothing of it."""
        self._journal.append(asdict(arrival))
        self._remember(arrival)

    def delivery(self, *, account: str, key: str) -> Delivery | None:
        """The first delivery that the account made under the key."""
        return self._deliveries.get((account, key))

    def arrivals(self) -> Iterator[Arrival]:
        """All arrivals up to now, oldest first. Raises JournalError."""
        for document in self._journal.documents():
            try:
                yield Arrival(**{**document, "outcome": Outcome(document["outcome"])})
            except (KeyError, TypeError, ValueError) as error:
                raise JournalError(
                    f"{self._journal.path} holds a line that is no arrival: move the file away"
                ) from error

    def lines(self) -> Iterator[bytes]:
        """The same as JSON lines."""
        return self._journal.lines()

    def clear(self) -> None:
        """Forget all arrivals and keys."""
        self._journal.clear()
        self._deliveries.clear()

    def close(self) -> None:
        self._journal.close()

    def _remember(self, arrival: Arrival) -> None:
        self.last_at = arrival.at
        if arrival.accepted and arrival.message_id is not None:
            self._deliveries.setdefault(
                (arrival.account, arrival.key), Delivery(arrival.message_id, arrival.at)
            )
