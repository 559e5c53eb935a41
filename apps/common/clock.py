"""The time that machines agree on."""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """PostgreSQL's clock at this moment, for entry points whose work other machines go on with."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (now,) = cursor.fetchone()
    found: datetime = now
    return found
