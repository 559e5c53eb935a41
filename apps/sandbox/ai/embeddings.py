"""Embeddings: unit vectors that depend on the text and the model alone.

A text's vector is the sum of its words' vectors, so texts that share words are nearer to one another.
"""

import array
import base64
import math
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from apps.sandbox.ai.errors import bad_request
from apps.sandbox.ai.models import EmbeddingModel
from apps.sandbox.randomness import generator

MAX_INPUTS = 2048
_MAX_TOKENS = 8192
_WORD = re.compile(r"\w+")


def embed(body: dict[str, Any], *, model: EmbeddingModel, name: str) -> dict[str, Any]:
    """The answer to an embeddings request. Raises ProviderError."""
    inputs = list(_inputs(body.get("input")))
    dimensions = _dimensions(body, model)
    encoding = body.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise bad_request("encoding_format must be 'float' or 'base64'", param="encoding_format")
    tokens = [max(1, (len(text) + 3) // 4) for text in inputs]
    if max(tokens) > _MAX_TOKENS:
        raise bad_request(f"This model's maximum context length is {_MAX_TOKENS} tokens.", param="input")
    vectors = (unit_vector(text, dimensions=dimensions) for text in inputs)
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _base64(vector) if encoding == "base64" else list(vector),
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": sum(tokens), "total_tokens": sum(tokens)}
    return {"object": "list", "data": data, "model": name, "usage": usage}


def unit_vector(text: str, *, dimensions: int) -> "array.array[float]":
    """The vector of a text, of length 1."""
    words = _WORD.findall(text.lower()) or [text]
    total = [0.0] * dimensions
    for word in words[:64]:
        total = [sum_ + part for sum_, part in zip(total, _word_vector(word, dimensions), strict=True)]
    length = math.sqrt(sum(part * part for part in total)) or 1.0
    return array.array("f", [part / length for part in total])


@lru_cache(maxsize=2048)
def _word_vector(word: str, dimensions: int) -> "array.array[float]":
    rng = generator(word)
    return array.array("f", [rng.random() - 0.5 for _ in range(dimensions)])


def _inputs(value: object) -> Iterator[str]:
    """The texts of `input`: a text, texts, tokens, or lists of tokens. Raises ProviderError."""
    if isinstance(value, str) or (isinstance(value, list) and value and isinstance(value[0], int)):
        value = [value]
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_INPUTS:
        raise bad_request(f"'input' must be a text or a list of 1 to {MAX_INPUTS} texts", param="input")
    for item in value:
        if isinstance(item, str) and item:
            yield item
        elif isinstance(item, list) and item and all(isinstance(token, int) for token in item):
            yield " ".join(map(str, item))
        else:
            raise bad_request("'input' can't hold an empty text", param="input")


def _dimensions(body: dict[str, Any], model: EmbeddingModel) -> int:
    wanted = body.get("dimensions")
    if wanted is None:
        return model.dimensions
    if not model.shortens:
        raise bad_request("This model does not support specifying dimensions.", param="dimensions")
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 1 <= wanted <= model.dimensions:
        raise bad_request(f"'dimensions' must be from 1 to {model.dimensions}", param="dimensions")
    return wanted


def _base64(vector: "array.array[float]") -> str:
    if sys.byteorder == "big":
        vector = vector[:]
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()
