from django.contrib import admin

from apps.common.admin.base import LongTableAdmin
from apps.common.admin.columns import TENANT, ShortId
from apps.common.admin.filters import MadeInFilter
from apps.common.models import IdempotencyRecord


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(LongTableAdmin):
    empty_hint = "A POST with an Idempotency-Key leaves its answer here for a day."
    list_display = [ShortId(), TENANT, "key", "status_code", "created_at"]
    list_filter = [MadeInFilter, "status_code"]
    search_exact = ["key"]
    search_help_text = "Key, or 8+ digits of the id"
    fieldsets = [(None, {"fields": [TENANT, "key", "status_code", "created_at", "response"]})]
