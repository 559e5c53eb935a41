"""What optional work gets when nobody can answer: an old answer, then the prompt's own words. Pure."""

from collections.abc import Mapping
from typing import Any

from apps.ai.answers import Read, Unusable, read_text
from apps.common import liquid


def from_template(
    fallback: str, variables: Mapping[str, object], *, schema: Mapping[str, Any] | None
) -> Read | None:
    """The prompt's words for this question; None where it has none, or they don't fit it."""
    if not fallback:
        return None
    try:
        read = read_text(liquid.render(fallback, variables).strip(), schema=schema)
    except liquid.TemplateError:
        return None
    return None if isinstance(read, Unusable) else read
