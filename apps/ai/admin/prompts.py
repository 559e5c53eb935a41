from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.ai.models import Generation, PromptTemplate
from apps.ai.services.previews import Part, Preview, preview
from apps.ai.services.prompts import activate_prompt
from apps.common.admin.base import Admin
from apps.common.admin.columns import (
    EMPTY,
    Column,
    Preformatted,
    badge,
    change_url,
    link,
    preformatted,
    row_link,
)
from apps.common.admin.operations import Operation

# Names the generation whose variables a preview uses.
GENERATION = "generation"

_FIELDS = ["system", "body", "output_schema", "fallback"]
_AS_WRITTEN = [Preformatted(field.replace("_", " "), field) for field in _FIELDS]
_TEXT = ("Text", {"fields": _FIELDS})


class PreviewLink(Column):
    """On a generation's page: its prompt, as it was put."""

    def __call__(self, row: Generation) -> SafeString:  # type: ignore[override]  # of this table alone
        url = change_url("ai.prompttemplate", row.prompt_id)
        text = f"{row.prompt}, with these variables"
        return link(f"{url}?{GENERATION}={row.pk}", text, title=str(row.prompt_id))


class PreviewOf(Column):
    """Whose variables the preview uses."""

    def __call__(self, row: Any) -> SafeString | str:
        found = _preview(row)
        if found is None and row._preview_of:
            return "There is no such question, so there is nothing to fill in."
        if found is None:
            return "No question has been asked with this prompt, so there is nothing to fill in."
        generation = found.generation
        return format_html(
            "{}, asked with {}",
            row_link("ai.generation", generation.pk),
            generation.prompt,
        )


class PreviewPart(Column):
    """One of the prompt's texts, filled in, and what is wrong with it."""

    def __init__(self, title: str, field: str) -> None:
        super().__init__(title)
        self._field = field

    def __call__(self, row: Any) -> SafeString | str:
        found = _preview(row)
        if found is None:
            return EMPTY
        part: Part = getattr(found, self._field)
        if not part.problem:
            return preformatted(part.text)
        return format_html(
            "{} {}{}", badge("failed", "error"), part.problem, preformatted(part.text) if part.text else ""
        )


_PREVIEW = [
    PreviewOf("variables of"),
    PreviewPart("system, filled in", "system"),
    PreviewPart("body, filled in", "body"),
    PreviewPart("fallback, filled in", "fallback"),
]


def _preview(row: Any) -> Preview | None:
    """Looked for once a page."""
    if not hasattr(row, "_preview"):
        row._preview = preview(prompt=row, generation_id=row._preview_of)
    found: Preview | None = row._preview
    return found


@admin.register(PromptTemplate)
class PromptTemplateAdmin(Admin):
    empty_hint = "The prompts that the campaigns need come with the migrations."
    list_display = ["key", "version", "is_active", "task_kind", "max_tokens", "created_at"]
    list_filter = ["is_active", "task_kind", "key"]
    search_fields = ["key"]
    search_help_text = "Key"
    operations = [
        Operation(
            "activate",
            "Activate",
            "This version is used from now on, in place of the present one. To roll back, activate an older "
            "version. What was asked before keeps the version that it was asked with.",
            lambda prompt, order: activate_prompt(prompt=prompt),
            "Activated",
            when=lambda prompt: not prompt.is_active,
        )
    ]
    add_fieldsets = [
        (
            None,
            {
                "fields": [("key", "version"), ("task_kind", "max_tokens")],
                "description": "A new version does nothing until it is activated.",
            },
        ),
        _TEXT,
    ]
    fieldsets = [
        (
            None,
            {
                "fields": [("key", "version", "is_active"), ("task_kind", "max_tokens")],
                "description": "A version never changes: add the next one, then activate it. To roll back, "
                "activate an older one.",
            },
        ),
        ("Text", {"fields": _AS_WRITTEN}),
        (
            "Preview",
            {
                "fields": _PREVIEW,
                "description": "What this version makes of the variables of the newest question that was "
                "asked with any version of this prompt. For those of another question, come here from its "
                "page.",
            },
        ),
    ]
    readonly_fields = [*_AS_WRITTEN, *_PREVIEW]

    def has_change_permission(self, request: HttpRequest, obj: PromptTemplate | None = None) -> bool:
        return False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row: Any = super().get_object(request, object_id, from_field)
        if row is not None:
            row._preview_of = request.GET.get(GENERATION, "")
            # It shows what somebody asked.
            if not request.user.has_perm("ai.view_generation"):
                row._preview = None
        return row
