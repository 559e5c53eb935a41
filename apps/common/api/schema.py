"""What every operation of the OpenAPI document shares."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter
from drf_spectacular.views import SpectacularAPIView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.settings import APISettings

from apps.common.api.idempotency import HEADER, MAX_LENGTH

# For `extend_schema(parameters=[…])` of every POST that creates.
IDEMPOTENCY_KEY = OpenApiParameter(
    HEADER,
    {"type": "string", "pattern": f"^[ -~]{{1,{MAX_LENGTH}}}$"},
    OpenApiParameter.HEADER,
    description=f"Up to {MAX_LENGTH} printable ASCII characters, such as a UUID. The same key, sent again "
    "within 24 hours with the same body, creates nothing and gets the first answer again, unless that was a "
    "5xx: then it is tried anew. With another body it gets 409.",
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
                    "`period_end`, `currency`, `limit`, `spent`, `held`, and what the call `needed`. Of a "
                    "second budget for the same, the id of the first in `budget`.",
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
    "409": ("Conflict", "The present state doesn't allow this, or the Idempotency-Key is another request's."),
    "411": ("LengthRequired", "The body comes in chunks: send it with a Content-Length."),
    "413": ("TooLarge", "The body is too large."),
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
        for method, operation in operations.items():
            answers = operation["responses"]
            refusals = _statuses(path, method, operation, components["schemas"])
            for status in (refusals - set(answers)) | _bare(answers):
                answers[status] = {"$ref": f"#/components/responses/{_RESPONSES[status][0]}"}
            operation["responses"] = dict(sorted(answers.items()))
    return result


def _statuses(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> set[str]:
    """The refusals that an operation may answer with."""
    found: set[str] = set()
    if any(operation.get("security", [])):
        found |= {"400", "401", "403", "503"}  # also a parameter that is unknown
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if "{" in path or _names_objects(body, schemas):
        found |= {"404"}
    if method in ("post", "put", "patch"):
        found |= {"409", "411", "413", "415"}  # a body is read also where none is taken
    if HEADER in (each["name"] for each in operation.get("parameters", [])):
        found |= {"422"}
    if "requestBody" in operation:
        found |= {"422"}
    return found


def _bare(answers: dict[str, Any]) -> set[str]:
    """Refusals that an operation names itself: those that its parameters and body don't tell of."""
    return {each for each, answer in answers.items() if each in _RESPONSES and "content" not in answer}


def _names_objects(schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Whether a body has ids, in which objects may be named that there aren't."""
    if "$ref" in schema:
        return _names_objects(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    inner = [schema.get("items", {}), *schema.get("properties", {}).values(), *schema.get("oneOf", [])]
    return schema.get("format") == "uuid" or any(_names_objects(each, schemas) for each in inner if each)


class _ByFormat(DefaultContentNegotiation):
    settings = APISettings({"URL_FORMAT_OVERRIDE": "format"})  # type: ignore[assignment]  # narrower stubs


class SchemaView(SpectacularAPIView):
    """In YAML, or with `?format=json` in JSON, for whoever can send no header of their own."""

    content_negotiation_class = _ByFormat
