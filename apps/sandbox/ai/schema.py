"""Plausible data that conforms to a JSON schema, the same for the same prompt."""

import math
import random
import re
from typing import Any

from apps.sandbox.ai.text import Voice

# Where a schema refers to itself, data ends at this depth.
MAX_DEPTH = 6
_PATTERN_EXAMPLES = (
    "12.00", "12", "1", "0.5", "18:30", "18:30:00", "2026-03-14", "2026-03-14T18:30:00Z", "2026-W11", "en", "en-GB",
    "EUR", "A1", "#update", "one-two", "one_two", "One", "one", "https://example.com/a", "reader@example.com",
)  # fmt: skip
_FORMATS = {
    "date": "2026-03-14",
    "time": "18:30:00Z",
    "date-time": "2026-03-14T18:30:00Z",
    "duration": "P1D",
    "email": "reader@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "1f0f3f6e-8f7a-4f0c-9d3e-5b0f6f3c2a11",
}
# Bounds for numbers that a schema leaves open, by what their name speaks of.
_NUMBER_RANGES = (
    (("price", "amount"), 5, 40),
    (("hour",), 9, 22),
    (("percent", "discount"), 5, 30),
    (("score", "confidence", "probability", "rate", "weight", "share"), 0, 1),
)


class SchemaDataMaker:
    """Makes data for one schema in one voice."""

    def __init__(self, root: dict[str, Any], *, voice: Voice, rng: random.Random) -> None:
        self._root = root
        self._voice = voice
        self._rng = rng

    def make(self) -> Any:
        return self._value(self._root, "", 0)

    def _value(self, schema: Any, name: str, depth: int) -> Any:
        if not isinstance(schema, dict):
            return self._voice.sentence(self._rng)
        schema = self._resolve(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._rng.choice(schema["enum"])
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return self._value(self._option(options, depth), name, depth)
        match self._kind(schema, depth):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer":
                return self._integer(schema, name)
            case "number":
                return self._number(schema, name)
            case "boolean":
                return self._rng.random() < 0.5
            case "null":
                return None
        return self._string(schema, name)

    def _resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema with its reference followed and its `allOf` merged."""
        for _ in range(32):
            if "$ref" not in schema:
                break
            target: Any = self._root
            for step in str(schema["$ref"]).removeprefix("#").split("/")[1:]:
                target = (
                    target.get(step.replace("~1", "/").replace("~0", "~"), {})
                    if isinstance(target, dict)
                    else {}
                )
            schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
        if "allOf" not in schema:
            return schema
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for part in map(self._resolve, schema["allOf"]):
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            required = [*merged.get("required", []), *part.get("required", [])]
            merged = {
                **merged,
                **part,
                **({"properties": properties, "required": required} if properties else {}),
            }
        return merged

    def _option(self, options: list[Any], depth: int) -> Any:
        """One of them; nothing where the data has to end."""
        nulls = [option for option in options if isinstance(option, dict) and option.get("type") == "null"]
        if nulls and depth >= MAX_DEPTH:
            return nulls[0]
        plain = [option for option in options if option not in nulls] or options
        if depth >= MAX_DEPTH:
            flat = [option for option in plain if isinstance(option, dict) and "$ref" not in option]
            plain = flat or plain
        return self._rng.choice(plain)

    def _kind(self, schema: dict[str, Any], depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            others = [each for each in kind if each != "null"]
            return str(others[0]) if others and (depth < MAX_DEPTH or len(others) == len(kind)) else "null"
        if isinstance(kind, str):
            return kind
        if "properties" in schema:
            return "object"
        return "array" if "items" in schema or "prefixItems" in schema else "string"

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties: dict[str, Any] = schema.get("properties", {})
        required = set(schema.get("required", []))
        return {
            name: self._value(each, name, depth + 1)
            for name, each in properties.items()
            if name in required or depth < MAX_DEPTH
        }

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> list[Any]:
        least = int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", max(least, 3)))
        count = least if depth >= MAX_DEPTH else max(least, min(most, max(least, 1) if least else 3))
        first = [self._value(each, name, depth + 1) for each in schema.get("prefixItems", [])]
        items: list[Any] = []
        for _ in range(8 * count):
            if len(first) + len(items) >= count:
                break
            item = self._value(schema.get("items", {"type": "string"}), name, depth + 1)
            if not schema.get("uniqueItems") or item not in items:
                items.append(item)
        return first + items

    def _integer(self, schema: dict[str, Any], name: str) -> int:
        low, high = self._bounds(schema, name, 1, 10)
        step = max(1, int(schema.get("multipleOf", 1)))
        lowest, highest = math.ceil(low / step), math.floor(high / step)
        return step * self._rng.randint(lowest, max(lowest, highest))

    def _number(self, schema: dict[str, Any], name: str) -> float:
        low, high = self._bounds(schema, name, 1, 10)
        if "multipleOf" in schema:
            step = float(schema["multipleOf"])
            return round(
                step
                * self._rng.randint(
                    math.ceil(low / step), max(math.ceil(low / step), math.floor(high / step))
                ),
                9,
            )
        return min(high, max(low, round(self._rng.uniform(low, high), 2)))

    def _bounds(self, schema: dict[str, Any], name: str, low: float, high: float) -> tuple[float, float]:
        low, high = next(
            (bounds for names, *bounds in _NUMBER_RANGES if any(n in name.lower() for n in names)),
            (low, high),
        )
        step = 1 if schema.get("type") == "integer" else 0.01
        floors = [schema["minimum"]] if "minimum" in schema else []
        floors += [schema["exclusiveMinimum"] + step] if "exclusiveMinimum" in schema else []
        ceilings = [schema["maximum"]] if "maximum" in schema else []
        ceilings += [schema["exclusiveMaximum"] - step] if "exclusiveMaximum" in schema else []
        span = high - low
        if floors:
            low = max(floors) if not low <= max(floors) < high else max(low, *floors)
        if ceilings:
            high = min(ceilings)
        elif high < low:
            high = low + span
        if low > high:
            low = max(floors) if floors else high - span
        return low, high

    def _string(self, schema: dict[str, Any], name: str) -> str:
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        if "pattern" in schema:
            for example in (*_PATTERN_EXAMPLES, *self._voice.words):
                if re.search(schema["pattern"], example):
                    return example
        return fit(
            text_for(name, voice=self._voice, rng=self._rng),
            least=int(schema.get("minLength", 0)),
            most=int(schema["maxLength"]) if "maxLength" in schema else None,
            filler=self._voice.sentence(self._rng),
        )


def text_for(name: str, *, voice: Voice, rng: random.Random) -> str:
    """A text that suits a property of this name."""
    name = name.lower()
    if "hashtag" in name or name in ("tag", "tags"):
        return f"#{voice.word(rng)}"
    if any(part in name for part in ("price", "amount")):
        return f"{rng.randint(5, 40)}.00"
    if any(part in name for part in ("title", "subject", "headline", "name", "theme", "topic")):
        return voice.title(rng)
    if any(part in name for part in ("keyword", "category", "slug", "emoji")):
        return voice.word(rng)
    if any(
        part in name
        for part in ("text", "message", "body", "template", "copy", "content", "draft", "variant")
    ):
        return voice.message(rng)
    return voice.sentence(rng)


def fit(text: str, *, least: int, most: int | None, filler: str) -> str:
    """The text within these lengths, cut between words where it can be."""
    while len(text) < least:
        text = f"{text} {filler}"
    if most is None or len(text) <= most:
        return text
    cut = text[:most]
    if " " in cut and "{{" not in cut[cut.rfind("}}") + 1 :]:
        shorter = cut.rsplit(" ", 1)[0].rstrip(" ,")
    else:
        shorter = cut.rsplit("{{", 1)[0].rstrip(" ,")
    return shorter if len(shorter) >= least and shorter else cut
