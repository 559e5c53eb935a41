"""Check a chat-completions request as the providers do."""

from typing import Any

from apps.sandbox.ai.errors import bad_request, context_too_long
from apps.sandbox.ai.models import ChatModel
from apps.sandbox.ai.strict import strict_schema_problem
from apps.sandbox.ai.tokens import prompt_parts, prompt_tokens

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MAX_CHOICES = 128


def check_chat_request(body: dict[str, Any], *, model: ChatModel) -> int:
    """The tokens of the prompt, if the request is valid. Raises ProviderError."""
    _check_messages(body.get("messages"))
    _check_number(body, "temperature", 0, 2)
    _check_number(body, "top_p", 0, 1)
    _check_number(body, "presence_penalty", -2, 2)
    _check_number(body, "frequency_penalty", -2, 2)
    for name, most in (("n", MAX_CHOICES), ("max_tokens", None), ("max_completion_tokens", None)):
        _check_count(body, name, most)
    if model.reasoning and body.get("max_tokens") is not None:
        raise bad_request(
            "Unsupported parameter: 'max_tokens' is not supported with this model."
            " Use 'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        )
    if body.get("stream_options") is not None and not body.get("stream"):
        raise bad_request(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options"
        )
    _check_response_format(body)
    _check_tools(body)
    tokens = prompt_tokens(body)
    wanted = tokens + (answer_limit(body) or 0)
    if wanted > model.context:
        raise context_too_long(model.context, wanted)
    return tokens


def answer_limit(body: dict[str, Any]) -> int | None:
    """The most tokens of one answer; None if the request sets no limit."""
    limit: int | None = body.get("max_completion_tokens") or body.get("max_tokens")
    return limit


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or not messages:
        raise bad_request(
            "Missing required parameter: 'messages', a list that isn't empty.", param="messages"
        )
    for index, message in enumerate(messages):
        place = f"messages[{index}]"
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise bad_request(
                f"Invalid value for '{place}.role'; it must be one of {', '.join(_ROLES)}.", param=place
            )
        content = message.get("content")
        if content is None and message["role"] == "assistant":
            continue
        if isinstance(content, list):
            parts = content
            if (
                all(isinstance(part, dict) and isinstance(part.get("text", ""), str) for part in parts)
                and parts
            ):
                continue
        elif isinstance(content, str):
            continue
        raise bad_request(
            f"Invalid value for '{place}.content': expected a text or parts.", param=f"{place}.content"
        )


def _check_number(body: dict[str, Any], name: str, least: float, most: float) -> None:
    value = body.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise bad_request(f"Invalid '{name}': expected a number from {least} to {most}.", param=name)


def _check_count(body: dict[str, Any], name: str, most: int | None) -> None:
    value = body.get(name)
    if value is None:
        return
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or value < 1
        or (most is not None and value > most)
    ):
        raise bad_request(f"Invalid '{name}': expected a whole number of at least 1.", param=name)


def _check_response_format(body: dict[str, Any]) -> None:
    form = body.get("response_format")
    if form is None:
        return
    kind = form.get("type") if isinstance(form, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
        raise bad_request("Invalid 'response_format.type'.", param="response_format.type")
    if kind == "json_object" and not any("json" in part.lower() for part in prompt_parts(body)):
        raise bad_request(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type"
            " 'json_object'.",
            param="messages",
        )
    if kind == "json_schema":
        _check_schema(form.get("json_schema"))


def _check_schema(wrapper: object) -> None:
    if not isinstance(wrapper, dict) or not isinstance(wrapper.get("name"), str) or not wrapper["name"]:
        raise bad_request(
            "Missing required parameter: 'response_format.json_schema.name'.", param="response_format"
        )
    schema = wrapper.get("schema")
    if not isinstance(schema, dict):
        raise bad_request(
            "Missing required parameter: 'response_format.json_schema.schema'.", param="response_format"
        )
    problem = strict_schema_problem(schema) if wrapper.get("strict") else None
    if problem:
        raise bad_request(
            f"Invalid schema for response_format '{wrapper['name']}': {problem}", param="response_format"
        )


def _check_tools(body: dict[str, Any]) -> None:
    tools = body.get("tools")
    if tools is None:
        return
    if not isinstance(tools, list) or not all(
        isinstance(tool, dict)
        and isinstance(tool.get("function"), dict)
        and isinstance(tool["function"].get("name"), str)
        for tool in tools
    ):
        raise bad_request("Invalid 'tools': expected a list of functions with names.", param="tools")
