"""What the providers demand of a schema with `strict: true`."""

from collections.abc import Iterator
from typing import Any


def strict_schema_problem(schema: dict[str, Any]) -> str | None:
    """Why the providers would refuse the schema; None if they wouldn't.

    As OpenAI's guide to structured outputs says: an object at the root, and in every object all properties
    required and no others allowed.
    """
    if schema.get("type") != "object":
        return "schema must be a JSON Schema of 'type: \"object\"'"
    return next((problem for problem in _problems(schema, ()) if problem), None)


def _problems(schema: object, path: tuple[str, ...]) -> Iterator[str | None]:
    if isinstance(schema, list):
        for index, each in enumerate(schema):
            yield from _problems(each, (*path, str(index)))
    if not isinstance(schema, dict):
        return
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        context = f"In context=({', '.join(repr(step) for step in path)})"
        if schema.get("additionalProperties") is not False:
            yield f"{context}, 'additionalProperties' is required to be supplied and to be false."
        missing = sorted(set(properties or {}) - set(schema.get("required", [])))
        if missing:
            yield f"{context}, 'required' must be supplied and include every key. Missing '{missing[0]}'."
    for name in ("properties", "$defs", "definitions"):
        for key, each in (schema.get(name) or {}).items():
            yield from _problems(each, (*path, name, key))
    for name in ("items", "anyOf"):
        yield from _problems(schema.get(name), (*path, name))
