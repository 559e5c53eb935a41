"""Plausible data that conforms to a JSON schema, the same for the same prompt."""

import random
import re
from typing import Any

from apps.sandbox.ai.schema_values import make_integer, make_number, make_string
from apps.sandbox.ai.text import Voice

# Where a schema refers to itself, data ends at this depth.
MAX_DEPTH = 6
_MAX_REFERENCES = 32
# A list that may have any length has this one.
_USUAL_ITEMS = 3


class SchemaError(ValueError):
    """No data can be made for a schema that makes no sense."""


def make_data(schema: dict[str, Any], *, voice: Voice, rng: random.Random) -> Any:
    """Data for the schema, in the voice's words. Raises SchemaError."""
    try:
        return _Maker(schema, voice=voice, rng=rng).value(schema, "", 0)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError, re.error) as error:
        raise SchemaError(f"{type(error).__name__}: {error}") from error


class _Maker:
    def __init__(self, root: dict[str, Any], *, voice: Voice, rng: random.Random) -> None:
        self._root = root
        self._voice = voice
        self._rng = rng

    def value(self, schema: Any, name: str, depth: int) -> Any:
        """Data for a part of the schema; `name` is the property that it is for."""
        schema = self._resolve({} if isinstance(schema, bool) else schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._rng.choice(schema["enum"])
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return self.value(self._option(options, depth), name, depth)
        return self._of_kind(_kind(schema, depth), schema, name, depth)

    def _of_kind(self, kind: str, schema: dict[str, Any], name: str, depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return make_integer(schema, name, rng=self._rng)
            case "number":
                return make_number(schema, name, rng=self._rng)
            case "boolean":
                return self._rng.random() < 0.5
            case "null":
                return None
            case "string":
                return make_string(schema, name, voice=self._voice, rng=self._rng)
        raise SchemaError(f"unknown type {kind!r}")

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema with its reference followed and its `allOf` merged."""
        for _ in range(_MAX_REFERENCES):
            if "$ref" not in schema:
                break
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**self._target(schema["$ref"]), **rest}
        else:
            raise SchemaError("references go round in a circle")
        parts = [self._resolve(part) for part in schema.get("allOf", [])]
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for part in parts:
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            required = [*merged.get("required", []), *part.get("required", [])]
            merged = {**merged, **part}
            if properties:
                merged.update(properties=properties, required=required)
        return merged

    def _target(self, reference: str) -> dict[str, Any]:
        """What `#/$defs/name` stands for."""
        target: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            target = target[step.replace("~1", "/").replace("~0", "~")]
        return dict(target)

    def _option(self, options: list[dict[str, Any]], depth: int) -> dict[str, Any]:
        """One of them: something rather than null, but what leads no deeper where the data has to end."""
        nulls = [option for option in options if option.get("type") == "null"]
        if depth >= MAX_DEPTH and nulls:
            return nulls[0]
        options = [option for option in options if option not in nulls] or options
        if depth >= MAX_DEPTH:
            options = [option for option in options if "$ref" not in option] or options
        return self._rng.choice(options)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        required = set(schema.get("required", []))
        return {
            name: self.value(each, name, depth + 1)
            for name, each in schema.get("properties", {}).items()
            if name in required or depth < MAX_DEPTH
        }

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> list[Any]:
        """Items that differ where they can."""
        least = int(schema.get("minItems", 0))
        usual = min(_USUAL_ITEMS, int(schema.get("maxItems", _USUAL_ITEMS)))
        count = least if least or depth >= MAX_DEPTH else usual
        items = [self.value(each, name, depth + 1) for each in schema.get("prefixItems", [])]
        tries = 8 * count
        while len(items) < count and tries > 0:
            tries -= 1
            item = self.value(schema.get("items", {}), name, depth + 1)
            if item not in items or (tries < count - len(items) and not schema.get("uniqueItems")):
                items.append(item)
        return items


def _kind(schema: dict[str, Any], depth: int) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        others = [each for each in kind if each != "null"]
        ends = not others or (depth >= MAX_DEPTH and len(others) < len(kind))
        return "null" if ends else str(others[0])
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"
