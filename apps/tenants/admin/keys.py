from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from apps.common.admin.base import Admin
from apps.common.admin.columns import RowLink, badge
from apps.common.admin.operations import Operation
from apps.tenants.keys import draw_key, revoke_api_key
from apps.tenants.models import ApiKey


@admin.register(ApiKey)
class ApiKeyAdmin(Admin):
    empty_hint = "Add a key here, or with: manage.py create_api_key TENANT --role ROLE"
    list_display = [
        "prefix",
        "name",
        RowLink("tenant", "tenant"),
        "role",
        "state",
        "last_used_at",
        "created_at",
    ]
    list_filter = ["role", ("revoked_at", admin.EmptyFieldListFilter)]
    list_select_related = ["tenant"]
    search_fields = ["name", "prefix", "tenant__name"]
    search_help_text = "Name, the key's beginning, or tenant"
    autocomplete_fields = ["tenant"]
    ordering = ["-pk"]
    operations = [
        Operation(
            "revoke",
            "Revoke",
            "Requests with this key are refused from now on. It can't be undone.",
            lambda key, order: revoke_api_key(key=key, now=order.now),
            "Revoked",
            icon="block",
            danger=True,
            when=lambda key: not key.revoked_at,
        )
    ]
    add_fieldsets = [
        (
            None,
            {
                "fields": ["tenant", "name", "role", "expires_at"],
                "description": "The key is shown once, after saving. Only its hash is kept.",
            },
        )
    ]
    fieldsets = [
        (None, {"fields": ["prefix", "tenant", "name", "role", "expires_at"]}),
        ("Use", {"fields": [("state", "last_used_at", "revoked_at", "created_at")]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        fixed = ["prefix", "state", "last_used_at", "revoked_at", "created_at"]
        return [*fixed, "tenant"] if obj else fixed

    @display(description="state")
    def state(self, key: ApiKey) -> str:
        if key.revoked_at:
            return badge("revoked", "revoked")
        if key.expires_at and key.expires_at <= timezone.now():
            return badge("expired", "expired")
        return badge("active", "active")

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        key = "" if change else draw_key(obj)
        super().save_model(request, obj, form, change)
        if change:
            return
        text = "The key, which is shown only now: <code style='user-select: all'>{}</code>"
        messages.success(request, format_html(text, key))
