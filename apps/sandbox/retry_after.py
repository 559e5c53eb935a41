"""When a refused client shall come back, in every form in which servers say it."""

import math
import time
from dataclasses import dataclass, replace
from email.utils import formatdate
from enum import StrEnum


class Form(StrEnum):
    """How `Retry-After` is written (RFC 9110, 10.2.3), or that it is left out."""

    SECONDS = "seconds"
    DATE = "date"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Nothing is said of it by default; `milliseconds`, which only the AI providers give, go before."""

    seconds: int | None = None
    milliseconds: int | None = None
    form: Form = Form.SECONDS

    def or_seconds(self, seconds: int) -> "RetryAfter":
        """The same, or so many seconds where it says nothing."""
        return replace(self, seconds=seconds) if self.rounded is None else self

    @property
    def rounded(self) -> int | None:
        """In whole seconds, up."""
        return self.seconds if self.milliseconds is None else math.ceil(self.milliseconds / 1000)

    def headers(self) -> dict[str, str]:
        """The headers of an answer sent now."""
        if self.form is Form.NONE or self.rounded is None:
            return {}
        date = self.form is Form.DATE
        text = formatdate(time.time() + self.rounded, usegmt=True) if date else str(self.rounded)
        exact = {} if self.milliseconds is None else {"retry-after-ms": str(self.milliseconds)}
        return {"Retry-After": text, **exact}
