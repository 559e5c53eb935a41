from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from apps.costs.services.budgets import change_time_zone
from apps.tenants.admin.tenants import TenantAdmin
from apps.tenants.models import Tenant

admin.site.unregister(Tenant)


@admin.register(Tenant)
class TenantWithCalendarAdmin(TenantAdmin):
    """A tenant whose time zone may change, which moves the periods of its budgets."""

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        if change and "time_zone" in form.changed_data:
            change_time_zone(tenant=obj, time_zone=obj.time_zone, now=timezone.now())
        super().save_model(request, obj, form, change)
