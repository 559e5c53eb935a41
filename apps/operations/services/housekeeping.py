"""What has served its time goes."""

from datetime import datetime, timedelta

from apps.common.models import IdempotencyRecord
from apps.tenants.system import system_transaction

# How long an Idempotency-Key is remembered, as the API's description promises.
IDEMPOTENCY_AGE = timedelta(hours=24)


def purge_idempotency_records(*, now: datetime, chunk: int = 1000) -> int:
    """Delete the records past their age, `chunk` to a transaction. Returns how many."""
    expired = IdempotencyRecord.objects.filter(created_at__lt=now - IDEMPOTENCY_AGE).order_by("created_at")
    total = 0
    while True:
        with system_transaction():
            ids = expired.values_list("pk", flat=True)[:chunk]
            deleted, _ = IdempotencyRecord.objects.filter(pk__in=list(ids)).delete()
        total += deleted
        if deleted < chunk:
            return total
