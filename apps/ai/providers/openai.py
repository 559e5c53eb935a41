from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from apps.ai.providers.outcomes import Outcome

if TYPE_CHECKING:
    from openai import OpenAI


def missing() -> str | None:
    """Why it can't be called; None if it can."""
    return None if settings.OPENAI_API_KEY else "OPENAI_API_KEY isn't set"


def complete(body: Mapping[str, Any], *, timeout: timedelta) -> Outcome:
    # The client takes a process a quarter of its start: only those pay that call a provider.
    from apps.ai.providers import chat

    client = _client(settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, settings.OPENAI_ORG_ID)
    return chat.complete(client, body, timeout=timeout)


@lru_cache(maxsize=4)
def _client(base_url: str, key: str, organisation: str) -> "OpenAI":
    """One per process, with its pool of connections; retries are the orchestrator's alone."""
    from openai import OpenAI

    return OpenAI(base_url=base_url, api_key=key, organization=organisation or None, max_retries=0)
