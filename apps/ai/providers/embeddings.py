"""Embeddings through the `openai` client."""

import array
import base64
import math
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import openai

from apps.ai.providers import wire
from apps.ai.providers.failures import ERRORS, failure, malformed
from apps.ai.providers.outcomes import LONGEST_NAME, Completion, Outcome
from apps.ai.providers.usage import usage
from apps.common.punctual import limits


def embed(client: openai.OpenAI, body: Mapping[str, Any], *, timeout: timedelta) -> Outcome:
    """Ask once for the vectors of the body's texts, in their order; only a programming error raises."""
    try:
        answer = wire.post(client, "/embeddings", body, timeout=limits(timeout))
    except ERRORS as error:
        return failure(error)
    try:
        return _read(answer, texts=len(body["input"]))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        return malformed(str(error))


def _read(answer: object, *, texts: int) -> Outcome:
    if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
        return malformed("it holds no embeddings")
    told = answer.get("usage")
    counted = usage(told.get("prompt_tokens")) if told else None
    found = {each["index"]: each["embedding"] for each in answer["data"]}
    if set(found) != set(range(texts)):
        return malformed(f"it holds {len(found)} embeddings of {texts} texts", usage=counted)
    vectors = tuple(_vector(found[index]) for index in range(texts))
    if not all(vector and all(map(math.isfinite, vector)) for vector in vectors):
        return malformed("a vector of it holds no numbers", usage=counted)
    model = str(answer.get("model") or "")[:LONGEST_NAME]
    return Completion(text="", usage=counted, model=model, finish_reason="stop", vectors=vectors)


def _vector(value: object) -> tuple[float, ...]:
    """From the packed form that we ask for, or from the plain one that some servers give all the same."""
    if isinstance(value, list):
        return tuple(map(float, value))
    if not isinstance(value, str):
        raise TypeError("a vector of it is neither packed nor plain")
    packed = array.array("f", base64.b64decode(value, validate=True))
    if sys.byteorder == "big":
        packed.byteswap()
    return tuple(packed)
