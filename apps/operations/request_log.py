"""Who sent a request, as its lines in the log say."""

from typing import Any

import structlog
from django.dispatch import receiver
from django.http import HttpRequest
from django_structlog.signals import (
    bind_extra_request_failed_metadata,
    bind_extra_request_finished_metadata,
    bind_extra_request_metadata,
)

# Of what callers make up.
_LONGEST = 200


@receiver(bind_extra_request_metadata)
def add_address(request: HttpRequest, **_: object) -> None:
    """To all lines, the other end of the connection: behind a proxy that is the proxy."""
    structlog.contextvars.bind_contextvars(ip=request.META.get("REMOTE_ADDR", ""))


@receiver(bind_extra_request_finished_metadata)
@receiver(bind_extra_request_failed_metadata)
def add_claims(request: HttpRequest, log_kwargs: dict[str, Any], **_: object) -> None:
    """To the line that ends it, what a proxy, or anybody, says of who is behind."""
    if forwarded := request.headers.get("X-Forwarded-For"):
        log_kwargs["forwarded_for"] = forwarded[-_LONGEST:]  # a proxy adds its word at the end
    if agent := request.headers.get("User-Agent"):
        log_kwargs["user_agent"] = agent[:_LONGEST]
