"""One shape for every error of the API: {"error": {"code", "message", "fields"}}."""

import math
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.settings import api_settings

from apps.common.errors import ConflictError, DomainError, InvalidInputError, NotFoundError, UnavailableError

log = structlog.get_logger(__name__)

STATUSES: dict[type[DomainError], int] = {
    InvalidInputError: status.HTTP_422_UNPROCESSABLE_ENTITY,
    NotFoundError: status.HTTP_404_NOT_FOUND,
    ConflictError: status.HTTP_409_CONFLICT,
    UnavailableError: status.HTTP_503_SERVICE_UNAVAILABLE,
}


class LengthRequiredError(exceptions.APIException):
    status_code = status.HTTP_411_LENGTH_REQUIRED
    default_code = "length_required"
    default_detail = "Send the body with a Content-Length, not in chunks."


def body(code: str, message: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "fields": fields or {}}}


def database_away(error: OperationalError | InterfaceError) -> UnavailableError:
    """Log that it is away, overloaded, or a lock wasn't had in time; the caller may try again."""
    log.warning("database.unavailable", error=f"{type(error).__name__}: {error}")
    text = "The database can't answer at the moment; try again."
    return UnavailableError(text, retry_after=timedelta(seconds=1))


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Answer domain errors and the framework's own in our shape; anything else stays a 500."""
    if isinstance(error, Http404):
        error = exceptions.NotFound("There is no such object.")
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, OperationalError | InterfaceError):
        error = database_away(error)
    if isinstance(error, RequestDataTooBig):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 2**20
        return Response(body("too_large", f"The body is larger than {limit} MiB."), status=413)
    if isinstance(error, SuspiciousOperation | UnreadablePostError):
        return Response(body("bad_request", "The request can't be understood."), status=400)
    if isinstance(error, DomainError):
        return _domain_response(error)
    if isinstance(error, exceptions.APIException):
        return _framework_response(error)
    return None


def _domain_response(error: DomainError) -> Response:
    code = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 400)
    headers = (
        {"Retry-After": str(math.ceil(error.retry_after.total_seconds()))}
        if isinstance(error, UnavailableError)
        else {}
    )
    return Response(body(error.code, error.message, error.fields), status=code, headers=headers)


def _framework_response(error: exceptions.APIException) -> Response:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(math.ceil(wait))
    if isinstance(error, exceptions.ValidationError):
        fields = _fields(error.detail)
        first, text = next(iter(fields.items()))
        where = "" if first == api_settings.NON_FIELD_ERRORS_KEY else f"{first}: "
        return Response(body("invalid", f"{where}{text}", fields), status=error.status_code, headers=headers)
    return Response(
        body(str(error.get_codes()), str(error.detail)), status=error.status_code, headers=headers
    )


def _fields(detail: Any, path: str = "") -> dict[str, str]:
    """A nested error of a serializer as dotted paths: {"limit.count": "…"}."""
    if isinstance(detail, dict):
        items = ((f"{path}.{key}" if path else str(key), value) for key, value in detail.items())
    elif isinstance(detail, list) and any(isinstance(item, dict | list) for item in detail):
        items = ((f"{path}.{index}", value) for index, value in enumerate(detail) if value)
    else:
        texts = detail if isinstance(detail, list) else [detail]
        return {path or api_settings.NON_FIELD_ERRORS_KEY: " ".join(str(text) for text in texts)}
    return {key: text for name, value in items for key, text in _fields(value, name).items()}
