from collections.abc import Mapping
from uuid import UUID

from django.db import transaction

from apps.ai.models import PromptTemplate, TaskKind
from apps.ai.providers.requests import ChatRequest, EmbeddingRequest, Message
from apps.ai.services import configuration
from apps.common import liquid
from apps.common.errors import ConflictError, NotFoundError


class UnknownPromptError(NotFoundError):
    """No version of that prompt is active."""

    code = "unknown_prompt"


class BrokenPromptError(ConflictError):
    """Nobody could be asked with this version, whatever the variables."""

    code = "broken_prompt"


def active_prompt(*, key: str) -> PromptTemplate:
    """The active version of a prompt. Raises UnknownPromptError."""
    prompt = configuration.current().prompts.get(key)
    if prompt is None:
        raise UnknownPromptError(
            f"No version of the prompt “{key}” is active; activate one under AI, Prompts."
        )
    return prompt


def version_of(prompt_id: UUID) -> PromptTemplate:
    """The version of a prompt that something was asked with, which isn't active any more perhaps."""
    active = configuration.current().prompts.values()
    return next((each for each in active if each.pk == prompt_id), None) or PromptTemplate.objects.get(
        pk=prompt_id
    )


def activate_prompt(*, prompt: PromptTemplate) -> None:
    """Use this version from now on; what was asked before keeps the version that it was asked with.

    Raises BrokenPromptError: every tenant's questions would be refused, and their callers blamed for it.
    """
    if wrong := prompt.template_problems():
        said = "; ".join(f"{field}: {', '.join(problems)}" for field, problems in wrong.items())
        raise BrokenPromptError(f"{prompt} can't be filled in ({said}). Add a version that can.")
    with transaction.atomic():
        PromptTemplate.objects.filter(key=prompt.key, is_active=True).exclude(pk=prompt.pk).update(
            is_active=False
        )
        PromptTemplate.objects.filter(pk=prompt.pk).update(is_active=True)


def render_request(
    *, prompt: PromptTemplate, variables: Mapping[str, object], max_tokens: int
) -> ChatRequest | EmbeddingRequest:
    """The request that a prompt makes with these variables. Raises TemplateError."""
    body = liquid.render(prompt.body, variables).strip()
    if prompt.task_kind == TaskKind.EMBEDDING:
        return EmbeddingRequest((body,))
    user = Message("user", body)
    system = liquid.render(prompt.system, variables).strip()
    messages = (Message("system", system), user) if system else (user,)
    return ChatRequest(messages=messages, max_tokens=max_tokens, schema=prompt.output_schema)
