"""Identifiers."""

from datetime import UTC, datetime
from uuid import UUID

import uuid_utils.compat


def uuid7() -> UUID:
    """A UUID version 7 (RFC 9562): ordered by time of creation, so that indexes grow at their end."""
    return uuid_utils.compat.uuid7()


def first_id_of(instant: datetime) -> UUID:
    """The smallest version 7 id of an instant: rows made since then are `pk >= first_id_of(then)`."""
    return UUID(int=int(instant.timestamp() * 1000) << 80)


def uuid7_in_sql(*, number: str) -> str:
    """An SQL expression for version 7 ids of many rows of one statement, in the order of `number`.

    `number` is an SQL expression that counts the rows from 0. It fills the twelve bits below the statement's
    millisecond and carries over into the next (RFC 9562, 6.2, a counter); the other 62 bits are random.
    PostgreSQL has a function of its own only since version 18.
    """
    millisecond = f"floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint + ({number}) / 4096"
    counter = f"mod(({number}), 4096)"
    # The last 17 characters of a version 4 id are its variant and 62 random bits.
    return (
        f"(lpad(to_hex({millisecond}), 12, '0') || '7' || lpad(to_hex({counter}), 3, '0')"
        " || right(gen_random_uuid()::text, 17))::uuid"
    )


def instant_of(identifier: UUID) -> datetime:
    """The millisecond that a version 7 id was made in."""
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, tz=UTC)
