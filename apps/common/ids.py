"""Identifiers."""

from datetime import datetime
from uuid import UUID

import uuid_utils.compat


def uuid7() -> UUID:
    """A UUID version 7 (RFC 9562): ordered by time of creation, so that indexes grow at their end."""
    return uuid_utils.compat.uuid7()


def first_id_of(instant: datetime) -> UUID:
    """The smallest version 7 id of an instant: rows made since then are `pk >= first_id_of(then)`."""
    return UUID(int=int(instant.timestamp() * 1000) << 80)
