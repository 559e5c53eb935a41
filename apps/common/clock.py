"""The time that machines agree on."""

from datetime import datetime

from apps.common.connections import row_of


def database_now() -> datetime:
    """PostgreSQL's clock at this moment, for entry points whose work other machines go on with."""
    found: datetime = row_of("SELECT clock_timestamp() AS now", [])["now"]
    return found
