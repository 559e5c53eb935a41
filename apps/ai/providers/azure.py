from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from apps.ai.providers.outcomes import Delta, Outcome

if TYPE_CHECKING:
    from openai import AzureOpenAI

    from apps.ai.providers.connections import Clients

# The body's `model` is the deployment's name at Azure. The client takes a process a quarter of its start:
# only those pay that call a provider.


def missing() -> str | None:
    """Why it can't be called; None if it can."""
    names = [
        name for name in ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT") if not getattr(settings, name)
    ]
    return f"{' and '.join(names)} not set" if names else None


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


def clients() -> "Clients[AzureOpenAI]":
    return _clients_of(
        settings.AZURE_OPENAI_ENDPOINT, settings.AZURE_OPENAI_API_KEY, settings.AZURE_OPENAI_API_VERSION
    )


@lru_cache(maxsize=4)
def _clients_of(endpoint: str, key: str, version: str) -> "Clients[AzureOpenAI]":
    """The process's, for this account."""
    from openai import AzureOpenAI

    from apps.ai.providers.connections import Clients

    return Clients(AzureOpenAI, azure_endpoint=endpoint, api_key=key, api_version=version)
