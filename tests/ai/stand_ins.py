"""Stand-ins for a provider's client, which ask for leave as its requests do."""

from collections.abc import Callable
from typing import Any

import httpx2

from apps.ai.providers import departure

_REQUEST = httpx2.Request("POST", "http://provider.invalid")


def standing_in(say: Callable[..., Any]) -> Callable[..., Any]:
    """In place of a provider's `complete`: says what `say` returns, once there is leave to ask it."""

    def complete(*given: Any, **options: Any) -> Any:
        departure.wait(_REQUEST)
        return say(*given, **options)

    return complete
