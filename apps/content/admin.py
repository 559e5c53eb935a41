from django.contrib import admin
from unfold.decorators import display

from apps.common.admin.base import LongTableAdmin
from apps.common.admin.columns import TENANT, Badge, IdLink, RowLink, preformatted
from apps.common.admin.filters import MadeInFilter
from apps.content.models import Content

CAMPAIGN = IdLink("campaign", "campaign_id", to="campaigns.campaign")


@admin.register(Content)
class ContentAdmin(LongTableAdmin):
    empty_hint = "What the AI writes for accounts and fans lands here: messages, captions, ideas."
    list_display = [
        "__str__",
        "kind",
        Badge("state", "state"),
        RowLink("account", "account"),
        RowLink("fan", "fan"),
        CAMPAIGN,
        TENANT,
        "created_at",
    ]
    list_filter = [MadeInFilter, "kind", "state"]
    list_select_related = ["account", "fan"]
    search_ids = ["pk", "campaign_id", "account_id"]
    search_help_text = "8+ digits of its id, or of a campaign or account"
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("kind", Badge("state", "state")),
                    (TENANT, CAMPAIGN),
                    ("account", "fan"),
                    "generation",
                ]
            },
        ),
        ("Words", {"fields": ["words", "error", "created_at"]}),
    ]

    @display(description="text")
    def words(self, content: Content) -> str:
        return preformatted(content.text)
