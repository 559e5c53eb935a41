"""Single values for a JSON schema: numbers within their bounds, texts that suit their property's name."""

import math
import random
import re
from typing import Any

from apps.sandbox.ai.text import Voice

# What patterns usually ask for.
_PATTERN_EXAMPLES = (
    *("12.00", "12", "1", "0.5", "18:30", "18:30:00", "2026-03-14", "2026-03-14T18:30:00Z", "2026-W11"),
    *("en", "en-GB", "EUR", "A1", "#update", "one-two", "one_two", "One", "one", "https://example.com/a"),
)
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
# What a text is not cut within: a word, a template variable.
_UNIT = re.compile(r"(?:\{\{.*?\}\}|\S)+")
# The usual range of a number, by what its name speaks of.
_RANGES: tuple[tuple[tuple[str, ...], float, float], ...] = (
    (("price", "amount"), 5, 40),
    (("hour",), 9, 22),
    (("percent", "discount"), 5, 30),
    (("score", "confidence", "probability", "rate", "weight", "share"), 0, 1),
)
_USUAL_RANGE = (1.0, 10.0)


def make_integer(schema: dict[str, Any], name: str, *, rng: random.Random) -> int:
    """A whole number within the schema's bounds."""
    low, high = _bounds(schema, name, gap=1)
    step = int(schema.get("multipleOf", 1))
    lowest = math.ceil(low / step)
    return step * rng.randint(lowest, max(lowest, math.floor(high / step)))


def make_number(schema: dict[str, Any], name: str, *, rng: random.Random) -> float:
    """A number within the schema's bounds, with two decimals where they allow it."""
    low, high = _bounds(schema, name, gap=0.01)
    if "multipleOf" not in schema:
        return min(high, max(low, round(rng.uniform(low, high), 2)))
    step = float(schema["multipleOf"])
    lowest = math.ceil(low / step)
    return round(step * rng.randint(lowest, max(lowest, math.floor(high / step))), 9)


def make_string(schema: dict[str, Any], name: str, *, voice: Voice, rng: random.Random) -> str:
    """A text of the schema's format, pattern or length; a pattern that no usual text has isn't met."""
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    if "pattern" in schema:
        pattern = re.compile(schema["pattern"])
        for example in (*_PATTERN_EXAMPLES, *voice.words):
            if pattern.search(example):
                return example
    return fit(
        text_for(name, voice=voice, rng=rng),
        least=int(schema.get("minLength", 0)),
        most=int(schema["maxLength"]) if "maxLength" in schema else None,
        filler=voice.sentence(rng),
    )


def text_for(name: str, *, voice: Voice, rng: random.Random) -> str:
    """A text that suits a property of this name."""
    name = name.lower()
    if "hashtag" in name or name in ("tag", "tags"):
        return f"#{voice.word(rng)}"
    if "price" in name or "amount" in name:
        return f"{rng.randint(5, 40)}.00"
    if any(part in name for part in ("title", "subject", "headline", "name", "theme", "topic")):
        return voice.title(rng)
    if any(part in name for part in ("keyword", "category", "slug")):
        return voice.word(rng)
    if any(part in name for part in ("text", "message", "body", "template", "copy", "content", "variant")):
        return voice.message(rng)
    return voice.sentence(rng)


def fit(text: str, *, least: int, most: int | None, filler: str) -> str:
    """The text within these lengths; cut between words and outside variables, where that can be."""
    while len(text) < least:
        text = f"{text} {filler}"
    if most is None or len(text) <= most:
        return text
    end = max((unit.end() for unit in _UNIT.finditer(text) if unit.end() <= most), default=0)
    shorter = text[:end].rstrip(",")
    return shorter if shorter and len(shorter) >= least else text[:most]


def _bounds(schema: dict[str, Any], name: str, *, gap: float) -> tuple[float, float]:
    """The schema's bounds, narrowed to the usual range where they overlap; `gap` keeps off those excluded."""
    usual = (range_ for names, *range_ in _RANGES if any(part in name.lower() for part in names))
    low, high = next(usual, _USUAL_RANGE)
    least = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + gap)
    most = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - gap)
    if low <= most and least <= high:
        return max(low, least), min(high, most)
    if math.isinf(least):
        return most - (high - low), most
    return least, min(most, least + (high - low))
