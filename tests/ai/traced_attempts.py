"""For a worker of the tests: whatever a provider is asked is a span.

`celery -A huntaze worker -I tests.ai.traced_attempts`
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from apps.ai import spans
from apps.ai.providers import PROVIDERS, Provider
from apps.ai.providers.outcomes import Completion, Outcome
from apps.common.ids import uuid7


@dataclass(frozen=True)
class Traced:
    name: str
    inner: Provider

    def missing(self) -> str | None:
        return self.inner.missing()

    def complete(self, body: Mapping[str, Any], *, timeout: timedelta) -> Outcome:
        with spans.attempt(
            provider=self.name,
            model=body["model"],
            deployment=self.name,
            max_tokens=body.get("max_tokens"),
            tenant_id=uuid7(),
            generation_id=uuid7(),
            number=1,
        ) as told:
            outcome = self.inner.complete(body, timeout=timeout)
            if isinstance(outcome, Completion):
                told.answered(model=outcome.model, finish_reason=outcome.finish_reason, usage=outcome.usage)
            else:
                told.failed(outcome.kind)
        return outcome


PROVIDERS.update({name: Traced(name, inner) for name, inner in PROVIDERS.items()})
