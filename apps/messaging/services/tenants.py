"""Pausing all sending of a tenant, which is a change of its one row."""

from datetime import datetime

from apps.messaging.models import Message, MessageState
from apps.tenants.models import Tenant
from apps.tenants.services.tenants import pause_tenant


def pause_sending(*, tenant: Tenant, now: datetime) -> int:
    """Send nothing more for a tenant, but what is on its way already: the number of these.

    Raises ConflictError if it is paused already.
    """
    pause_tenant(tenant=tenant, now=now)
    return Message.objects.filter(state=MessageState.SENDING, tenant_id=tenant.pk).count()
