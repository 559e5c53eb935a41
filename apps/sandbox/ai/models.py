"""The models that the stand-in knows, and their limits as their makers publish them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

Model = TypeVar("Model")


@dataclass(frozen=True, slots=True)
class ChatModel:
    """`context` is the most tokens of prompt and answer together; reasoning models refuse `max_tokens`."""

    name: str
    context: int
    reasoning: bool = False


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """`dimensions` is the length of its vectors; `shortens` whether a request may ask for fewer."""

    name: str
    dimensions: int
    shortens: bool


CHAT_MODELS: Mapping[str, ChatModel] = {
    model.name: model
    for model in (
        ChatModel("gpt-3.5-turbo", 16_385),
        ChatModel("gpt-35-turbo", 16_385),
        ChatModel("gpt-4", 8_192),
        ChatModel("gpt-4-32k", 32_768),
        ChatModel("gpt-4-turbo", 128_000),
        ChatModel("gpt-4o", 128_000),
        ChatModel("gpt-4o-mini", 128_000),
        ChatModel("gpt-4.1", 1_047_576),
        ChatModel("gpt-4.1-mini", 1_047_576),
        ChatModel("gpt-4.1-nano", 1_047_576),
        ChatModel("gpt-5", 400_000, reasoning=True),
        ChatModel("gpt-5-mini", 400_000, reasoning=True),
        ChatModel("gpt-5-nano", 400_000, reasoning=True),
        ChatModel("gpt-5.1", 400_000, reasoning=True),
        ChatModel("gpt-5.2", 400_000, reasoning=True),
        ChatModel("o1", 200_000, reasoning=True),
        ChatModel("o3-mini", 200_000, reasoning=True),
        ChatModel("o3", 200_000, reasoning=True),
        ChatModel("o4-mini", 200_000, reasoning=True),
    )
}
EMBEDDING_MODELS: Mapping[str, EmbeddingModel] = {
    model.name: model
    for model in (
        EmbeddingModel("text-embedding-3-small", 1536, shortens=True),
        EmbeddingModel("text-embedding-3-large", 3072, shortens=True),
        EmbeddingModel("text-embedding-ada-002", 1536, shortens=False),
    )
}
# A dated snapshot: gpt-4o-2024-08-06, gpt-3.5-turbo-0125.
_SNAPSHOT = re.compile(r"-(\d{4}|\d{4}-\d{2}-\d{2}|turbo-preview)")


def chat_model(name: str, *, deployment: bool) -> ChatModel | None:
    """The chat model of that name; a deployment's name may go on after the model's (gpt-4o-eu)."""
    return _find(name, CHAT_MODELS, deployment=deployment)


def embedding_model(name: str, *, deployment: bool) -> EmbeddingModel | None:
    """The embedding model of that name; a deployment's name may go on after the model's."""
    return _find(name, EMBEDDING_MODELS, deployment=deployment)


def _find(name: str, models: Mapping[str, Model], *, deployment: bool) -> Model | None:
    if name in models:
        return models[name]
    for known in sorted(models, key=len, reverse=True):
        rest = name.removeprefix(known)
        if rest != name and (rest.startswith("-") if deployment else _SNAPSHOT.fullmatch(rest)):
            return models[known]
    return None
