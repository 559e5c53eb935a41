from datetime import datetime

from apps.common.errors import ConflictError
from apps.notifications.models import Alert


def acknowledge_alert(*, alert: Alert, now: datetime) -> None:
    """Note that somebody looks after it. Raises ConflictError if somebody does already."""
    if not Alert.objects.filter(pk=alert.pk, acknowledged_at=None).update(acknowledged_at=now):
        raise ConflictError("It is acknowledged already.")
