from typing import Any

from django.contrib import admin
from django.urls import path

from apps.analytics.admin.economics_page import economics_page
from apps.analytics.models import RevenueEntry
from apps.common.admin.base import LongTableAdmin
from apps.common.admin.columns import TENANT, Amount, IdLink, RowLink


@admin.register(RevenueEntry)
class RevenueEntryAdmin(LongTableAdmin):
    empty_hint = (
        "No revenue is known. It is told by POST /api/v2/analytics/revenue, or: manage.py import_revenue"
        " TENANT FILE"
    )
    _account = RowLink("account", "account")
    _campaign = RowLink("campaign", "campaign")
    list_display = [
        "occurred_at",
        Amount("amount", "amount"),
        "kind",
        _account,
        _campaign,
        "external_id",
        TENANT,
        "created_at",
    ]
    list_filter = ["kind"]
    list_select_related = ["account", "campaign"]
    search_ids = ["pk", "tenant_id", "account_id", "campaign_id"]
    search_exact = ["external_id"]
    search_help_text = "External id, or 8+ digits of a tenant's, account's or campaign's"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    (TENANT, "external_id"),
                    ("occurred_at", "kind", Amount("amount", "amount")),
                    (
                        _account,
                        _campaign,
                        IdLink("message", "message_id", to="messaging.messagerecord", name=None),
                    ),
                    "created_at",
                ]
            },
        )
    ]

    def get_urls(self) -> list[Any]:
        page = self.admin_site.admin_view(economics_page)
        return [path("economics/", page, name="analytics_economics"), *super().get_urls()]
