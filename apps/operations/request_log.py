"""Who sent a request, as its line in the log says when it is answered."""

from typing import Any

from django.dispatch import receiver
from django.http import HttpRequest
from django_structlog.signals import (
    bind_extra_request_failed_metadata,
    bind_extra_request_finished_metadata,
)

# Of what callers make up.
_LONGEST = 200


@receiver(bind_extra_request_finished_metadata)
@receiver(bind_extra_request_failed_metadata)
def add_sender(request: HttpRequest, log_kwargs: dict[str, Any], **_: object) -> None:
    """The connection's own end, and beside it what a proxy, or anybody, says of who is behind."""
    log_kwargs["ip"] = request.META.get("REMOTE_ADDR", "")
    said = {"forwarded_for": "X-Forwarded-For", "user_agent": "User-Agent"}
    log_kwargs.update(
        {
            name: request.headers[header][:_LONGEST]
            for name, header in said.items()
            if header in request.headers
        }
    )
