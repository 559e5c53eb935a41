"""The providers by name. Each is a module with `missing()` and `complete(body, timeout=…)`."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol

from apps.ai.providers import azure, openai
from apps.ai.providers.outcomes import Outcome


class Provider(Protocol):
    def missing(self) -> str | None: ...

    def complete(self, body: Mapping[str, Any], *, timeout: timedelta) -> Outcome: ...


PROVIDERS: dict[str, Provider] = {"azure": azure, "openai": openai}
