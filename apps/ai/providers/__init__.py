"""The providers by name, each a module."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Protocol

from apps.ai.providers import azure, openai
from apps.ai.providers.outcomes import Delta, Outcome


class Provider(Protocol):
    """Bodies are those of apps/ai/providers/requests.py; time-outs are those of chat.py."""

    def missing(self) -> str | None: ...

    def complete(self, body: Mapping[str, Any], *, timeout: timedelta) -> Outcome: ...

    def stream(
        self, body: Mapping[str, Any], *, timeout: timedelta, idle_timeout: timedelta | None = None
    ) -> Iterator[Delta | Outcome]: ...

    def embed(self, body: Mapping[str, Any], *, timeout: timedelta) -> Outcome: ...


PROVIDERS: dict[str, Provider] = {"azure": azure, "openai": openai}


def load() -> None:
    """Load the clients, for a second or two of the processor, before somebody waits for an answer."""
    from apps.ai.providers import chat, connections, embeddings  # noqa: F401  # see openai.py

    connections.trusted()
