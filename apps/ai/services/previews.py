"""What a version of a prompt makes of the variables of a question that was really asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet, Subquery

from apps.ai.answers import Unusable, read_text
from apps.ai.models import Generation, PromptTemplate
from apps.common import liquid


@dataclass(frozen=True, slots=True)
class Part:
    """One text of a prompt, filled in. `problem`: why it can't be, or would not be given."""

    text: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """`generation` is the one whose variables were used."""

    generation: Generation
    system: Part
    body: Part
    fallback: Part


def preview(*, prompt: PromptTemplate, generation_id: str = "") -> Preview | None:
    """With the variables of that generation, or of the newest that was asked with any version of the prompt.

    None if there is no such generation. An index answers, however many generations there are.
    """
    generation = _generation(generation_id) if generation_id else _newest(prompt.key)
    if generation is None:
        return None
    given = generation.variables
    return Preview(
        generation=generation,
        system=_part(prompt.system, given),
        body=_part(prompt.body, given),
        fallback=_fallback(prompt, given),
    )


def _generation(generation_id: str) -> Generation | None:
    try:
        return _rows().filter(pk=generation_id).first()
    except ValidationError:  # it isn't an id
        return None


def _newest(key: str) -> Generation | None:
    newest = Generation.objects.filter(prompt=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    versions = PromptTemplate.objects.filter(key=key).annotate(newest=Subquery(newest))
    found: list[UUID] = [pk for pk in versions.values_list("newest", flat=True) if pk is not None]
    return _rows().filter(pk=max(found)).first() if found else None


def _rows() -> QuerySet[Generation]:
    return Generation.objects.select_related("prompt").only(
        "created_at", "variables", "task_kind", "prompt__key", "prompt__version"
    )


def _part(template: str, variables: Mapping[str, object]) -> Part:
    try:
        return Part(liquid.render(template, variables).strip())
    except liquid.TemplateError as error:
        return Part("", error.message)


def _fallback(prompt: PromptTemplate, variables: Mapping[str, object]) -> Part:
    part = _part(prompt.fallback, variables)
    if part.problem or not prompt.fallback:
        return part
    read = read_text(part.text, schema=prompt.output_schema)
    return Part(part.text, read.problem) if isinstance(read, Unusable) else part
