"""What the stand-in has been asked, and what it would bill: the receiver's own account of it."""

import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from apps.sandbox.ai.errors import Provider
from apps.sandbox.journal import Journal

FILE_NAME = "ai-usage.jsonl"


@dataclass(slots=True)
class Totals:
    """One model's requests; the tokens are those of the answered ones, which are the billed ones."""

    requests: int = 0
    answered: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


class UsageBook:
    """Totals by provider and model since the start; with a folder, a line per request in a journal."""

    def __init__(self, folder: Path | None) -> None:
        """Raises JournalError."""
        self._journal = None if folder is None else Journal(folder / FILE_NAME)
        self._totals: defaultdict[tuple[str, str], Totals] = defaultdict(Totals)

    def record(
        self,
        *,
        provider: Provider,
        model: str,
        status: int,
        prompt_tokens: int = 0,
        cached_tokens: int = 0,
        completion_tokens: int = 0,
    ) -> None:
        """Note one request; `status` 200 is billed, whether or not its answer reached the client."""
        if self._journal is not None:
            self._journal.append(
                {
                    "at": round(time.time(), 6),
                    "provider": provider.value,
                    "model": model,
                    "status": status,
                    "prompt_tokens": prompt_tokens,
                    "cached_tokens": cached_tokens,
                    "completion_tokens": completion_tokens,
                }
            )
        totals = self._totals[provider.value, model]
        totals.requests += 1
        totals.answered += status == 200
        totals.prompt_tokens += prompt_tokens
        totals.cached_tokens += cached_tokens
        totals.completion_tokens += completion_tokens

    def report(self) -> dict[str, dict[str, dict[str, int]]]:
        """The totals: provider → model → figures."""
        report: dict[str, dict[str, dict[str, int]]] = {provider.value: {} for provider in Provider}
        for (provider, model), totals in self._totals.items():
            report[provider][model] = asdict(totals)
        return report

    def clear(self) -> None:
        self._totals.clear()
        if self._journal is not None:
            self._journal.clear()

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()
