"""Errors in the providers' own shapes."""

from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from aiohttp import web

from apps.sandbox.retry_after import RetryAfter
from apps.sandbox.server import json_response


class Provider(StrEnum):
    OPENAI = "openai"
    AZURE = "azure"


@dataclass(eq=False)
class ProviderError(Exception):
    """A refusal; `document` is its body's `error`."""

    status: int
    document: dict[str, Any]
    retry_after: RetryAfter = field(default_factory=RetryAfter)

    def response(self, request_id: str) -> web.Response:
        headers = {"x-request-id": request_id, **self.retry_after.headers()}
        return json_response({"error": self.document}, status=self.status, headers=headers)


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> ProviderError:
    """A 400, the same from both providers."""
    return ProviderError(
        400, {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    )


def unauthenticated(provider: Provider) -> ProviderError:
    if provider is Provider.AZURE:
        message = (
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a"
            " valid key for an active subscription and use a correct regional API endpoint for your resource."
        )
        return ProviderError(401, {"code": "401", "message": message})
    message = "You didn't provide an API key. Provide it in an Authorization header using Bearer auth."
    return ProviderError(
        401, {"message": message, "type": "invalid_request_error", "param": None, "code": "invalid_api_key"}
    )


def unknown_model(provider: Provider, name: str) -> ProviderError:
    if provider is Provider.AZURE:
        message = (
            "The API deployment for this resource does not exist. If you created the deployment within the"
            " last 5 minutes, please wait a moment and try again."
        )
        return ProviderError(404, {"code": "DeploymentNotFound", "message": message})
    message = f"The model `{name}` does not exist or you do not have access to it."
    return ProviderError(
        404, {"message": message, "type": "invalid_request_error", "param": None, "code": "model_not_found"}
    )


def context_too_long(context: int, wanted: int) -> ProviderError:
    return bad_request(
        f"This model's maximum context length is {context} tokens. However, you requested {wanted} tokens."
        " Please reduce the length of the messages or completion.",
        param="messages",
        code="context_length_exceeded",
    )


def out_of_credit() -> ProviderError:
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more information on"
        " this error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
    )
    kind = code = "insufficient_quota"
    return ProviderError(429, {"message": message, "type": kind, "param": None, "code": code})


def no_such_format() -> ProviderError:
    return bad_request(
        "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
        param="response_format",
    )


def azure_filtered_prompt() -> ProviderError:
    """The refusal of a prompt by Azure's content management."""
    results: dict[str, Any] = {
        name: {"filtered": name == "sexual", "severity": "medium" if name == "sexual" else "safe"}
        for name in ("hate", "self_harm", "sexual", "violence")
    }
    message = (
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
        " Please modify your prompt and retry."
    )
    return ProviderError(
        400,
        {
            "message": message,
            "type": None,
            "param": "prompt",
            "code": "content_filter",
            "status": 400,
            "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": results},
        },
    )


def error_of_fault(provider: Provider, status: int, retry_after: RetryAfter) -> ProviderError:
    """The error that a fault asks for; a 429 always says when to come back."""
    if status == HTTPStatus.UNAUTHORIZED:
        return unauthenticated(provider)
    if status == HTTPStatus.NOT_FOUND:
        return unknown_model(provider, "unavailable")
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else f"status {status}"
    message = f"{phrase} (a fault on request)"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        retry_after = retry_after.or_seconds(1)
        message = f"Rate limit reached. Please try again in {retry_after.rounded}s."
        kind, code = "requests", "429" if provider is Provider.AZURE else "rate_limit_exceeded"
    else:
        kind, code = ("server_error" if status >= 500 else "invalid_request_error"), str(status)
    return ProviderError(status, {"message": message, "type": kind, "param": None, "code": code}, retry_after)
