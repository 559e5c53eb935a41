"""Who may read the metrics, which name tenants and what is left of their budgets."""

import hmac
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest
from rest_framework import exceptions, status

# What a proxy adds to a request of somebody else's.
_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via")


class NoTokenError(exceptions.APIException):
    status_code = status.HTTP_401_UNAUTHORIZED
    default_code = "not_authenticated"
    default_detail = "Send the value of HUNTAZE_METRICS_TOKEN as “Authorization: Bearer …”."
    auth_header = "Bearer"


class NotHereError(exceptions.PermissionDenied):
    default_detail = (
        "Without HUNTAZE_METRICS_TOKEN only this machine may read the metrics, and not through a proxy."
    )


def check_scraper(request: HttpRequest) -> None:
    """With a token, whoever has it; without one, this machine. Raises NoTokenError or NotHereError."""
    if not settings.METRICS_TOKEN:
        if not _is_local(request):
            raise NotHereError
        return
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    is_right = hmac.compare_digest(token.strip().encode(), settings.METRICS_TOKEN.encode())
    if kind.lower() != "bearer" or not is_right:
        raise NoTokenError


def _is_local(request: HttpRequest) -> bool:
    if any(name in request.headers for name in _FORWARDED):
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:  # a socket's path, or nothing
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
