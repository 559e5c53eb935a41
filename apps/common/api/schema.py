"""What every operation of the OpenAPI document shares."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

# For `extend_schema(parameters=[…])` of every POST that creates.
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="Any text of up to 255 characters. The same key, sent again within 24 hours with the same "
    "body, creates nothing and gets the first answer again, unless that was a 5xx: then it is tried anew. "
    "With another body it gets 409.",
)

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "fields"],
            "properties": {
                "code": {"type": "string", "description": "Stable, for programs.", "examples": ["invalid"]},
                "message": {"type": "string", "description": "What was wrong and what would be right."},
                "fields": {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                    "description": "What was wrong where, by dotted path; of `budget_exhausted` and "
                    "`budget_busy`, the budget in the way: its id in `budget`, `scope`, `period`, "
                    "`period_end`, `currency`, `limit`, `spent`, `held`, and what the call `needed`.",
                    "examples": [{"limit.count": "Ensure this value is greater than or equal to 1."}],
                },
            },
        }
    },
}
_RESPONSES = {
    "400": ("BadRequest", "The body or a parameter can't be right; `fields` says where."),
    "401": ("Unauthorized", "No API key, or none that is known and valid."),
    "403": ("Forbidden", "The key's role doesn't allow this."),
    "404": ("NotFound", "There is no such object."),
    "409": ("Conflict", "The present state doesn't allow this."),
    "415": ("UnsupportedMediaType", "Only application/json is understood."),
    "422": ("Unprocessable", "Understood, but refused; the message says why."),
    "503": ("Unavailable", "Something that this needs is away; try again after `Retry-After` seconds."),
}


def document_errors(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the refusals to every operation (a post-processing hook of drf-spectacular)."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Error"] = _ERROR
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    components["responses"] = {
        name: {"description": text, "content": content} for name, text in _RESPONSES.values()
    }
    for path, operations in result.get("paths", {}).items():
        for operation in operations.values():
            for status in _statuses(path, operation):
                reference = {"$ref": f"#/components/responses/{_RESPONSES[status][0]}"}
                operation["responses"].setdefault(status, reference)
    return result


def _statuses(path: str, operation: dict[str, Any]) -> list[str]:
    """The refusals that an operation may answer with."""
    found = []
    if operation.get("parameters") or "requestBody" in operation:
        found += ["400"]
    if any(operation.get("security", [])):
        found += ["401", "403", "503"]
    if "{" in path:
        found += ["404"]
    if "requestBody" in operation:
        found += ["409", "415", "422"]
    return found
