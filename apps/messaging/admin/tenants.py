from dataclasses import replace
from typing import Any

from django.contrib import admin

from apps.common.admin.operations import Operation, Order
from apps.costs.admin.tenants import TenantWithCalendarAdmin
from apps.messaging.admin.remarks import in_flight
from apps.messaging.hints import hint_resumed
from apps.messaging.services.tenants import pause_sending
from apps.tenants.models import Tenant
from apps.tenants.services.tenants import resume_tenant

admin.site.unregister(Tenant)


def _resume(tenant: Tenant, order: Order) -> None:
    resume_tenant(tenant=tenant)
    hint_resumed()


def _pause(tenant: Tenant, order: Order) -> int:
    return pause_sending(tenant=tenant, now=order.now)


_SENDING: dict[str, dict[str, Any]] = {
    "pause": {"act": _pause, "remark": in_flight},
    "resume": {"act": _resume},
}


def _of_messages(operation: Operation) -> Operation:
    return replace(operation, **_SENDING.get(operation.name, {}))


@admin.register(Tenant)
class TenantWithMessagesAdmin(TenantWithCalendarAdmin):
    """A tenant whose messages a pause holds back, but for those on their way."""

    operations = [_of_messages(each) for each in TenantWithCalendarAdmin.operations]
