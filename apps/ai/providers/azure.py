from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from apps.ai.providers.outcomes import Outcome

if TYPE_CHECKING:
    from openai import AzureOpenAI


def missing() -> str | None:
    """Why it can't be called; None if it can."""
    names = [
        name for name in ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT") if not getattr(settings, name)
    ]
    return f"{' and '.join(names)} not set" if names else None


def complete(body: Mapping[str, Any], *, timeout: timedelta) -> Outcome:
    """The body's `model` is the deployment's name at Azure."""
    # The client takes a process a quarter of its start: only those pay that call a provider.
    from apps.ai.providers import chat

    client = _client(
        settings.AZURE_OPENAI_ENDPOINT, settings.AZURE_OPENAI_API_KEY, settings.AZURE_OPENAI_API_VERSION
    )
    return chat.complete(client, body, timeout=timeout)


@lru_cache(maxsize=4)
def _client(endpoint: str, key: str, version: str) -> "AzureOpenAI":
    """One per process, with its pool of connections; retries are the orchestrator's alone."""
    from openai import AzureOpenAI

    return AzureOpenAI(azure_endpoint=endpoint, api_key=key, api_version=version, max_retries=0)
