"""Identifiers."""

from uuid import UUID

import uuid_utils.compat


def uuid7() -> UUID:
    """A UUID version 7 (RFC 9562): ordered by time of creation, so that indexes grow at their end."""
    return uuid_utils.compat.uuid7()
