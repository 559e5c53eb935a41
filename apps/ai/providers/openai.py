from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from apps.ai.providers.outcomes import Delta, Outcome

if TYPE_CHECKING:
    from openai import OpenAI

    from apps.ai.providers.connections import Clients

# The client takes a process a quarter of its start: only those pay that call a provider.


def missing() -> str | None:
    """Why it can't be called; None if it can."""
    return None if settings.OPENAI_API_KEY else "OPENAI_API_KEY isn't set"


def complete(body: Mapping[str, Any], *, timeout: timedelta) -> Outcome:
    from apps.ai.providers import chat

    with clients().lent() as client:
        return chat.complete(client, body, timeout=timeout)


def stream(
    body: Mapping[str, Any], *, timeout: timedelta, idle_timeout: timedelta | None = None
) -> Iterator[Delta | Outcome]:
    from apps.ai.providers import chat

    with clients().lent() as client:
        yield from chat.stream(client, body, timeout=timeout, idle_timeout=idle_timeout)


def embed(body: Mapping[str, Any], *, timeout: timedelta) -> Outcome:
    from apps.ai.providers import embeddings

    with clients().lent() as client:
        return embeddings.embed(client, body, timeout=timeout)


def clients() -> "Clients[OpenAI]":
    return _clients_of(settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, settings.OPENAI_ORG_ID)


@lru_cache(maxsize=4)
def _clients_of(base_url: str, key: str, organisation: str) -> "Clients[OpenAI]":
    """The process's, for this account."""
    from openai import OpenAI

    from apps.ai.providers.connections import Clients

    return Clients(OpenAI, base_url=base_url, api_key=key, organization=organisation or None)
