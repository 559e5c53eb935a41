import json
from typing import Any

from django.db import models
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from apps.ai.models import Generation, GenerationState, Provider, Source, TaskKind
from apps.common.api.fields import MoneyField, PriorityField
from apps.common.api.serializers import StrictSerializer
from apps.common.money import Money
from apps.common.priority import Priority

_LONGEST_INPUT = 20_000
_MOST_TOKENS = 4_000
_LARGEST_VARIABLES = 20_000


class Criticality(models.TextChoices):
    """How long the caller waits: 20 s, or 2.5 s for what it can do without."""

    CRITICAL = "critical"
    OPTIONAL = "optional"


class QuestionRequest(StrictSerializer):
    """A question to the assistant."""

    # As other bodies say, which are checked by `is_valid`.
    default_error_messages = {"null": "No data provided"}

    input = serializers.CharField(
        max_length=_LONGEST_INPUT, help_text="What to write or think about, in any language."
    )
    variables = serializers.DictField(
        default=dict,
        help_text="Facts that belong to it, by names of your choice: texts, numbers or lists of them. The "
        "prompts as shipped show the AI each of them under its name. One that an operator has written uses "
        "those that it names, and leaves out others without a word: ask the operator which.",
    )
    max_tokens = serializers.IntegerField(
        min_value=1, max_value=_MOST_TOKENS, allow_null=True, default=None, help_text="Of the answer."
    )
    priority = PriorityField(default=Priority.HIGH)
    criticality = serializers.ChoiceField(
        Criticality.choices,
        default=Criticality.CRITICAL,
        help_text="Whether the caller needs an answer (20 s), or would rather go on with an old one, a "
        "template or an error (2.5 s).",
    )
    fresh = serializers.BooleanField(
        default=False, help_text="Ask again even if the same question was answered or is being answered."
    )
    stream = serializers.BooleanField(default=False, help_text="Send the answer as it comes, as events.")
    account = serializers.UUIDField(
        allow_null=True, default=None, help_text="For which it is asked: its budgets count the cost."
    )
    campaign = serializers.UUIDField(allow_null=True, default=None, help_text="Likewise.")
    user = serializers.UUIDField(
        allow_null=True, default=None, help_text="Likewise; whoever asks, unless it is said."
    )

    def validate_variables(self, given: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(given)) > _LARGEST_VARIABLES:
            raise serializers.ValidationError(f"At most {_LARGEST_VARIABLES:,} characters of JSON.")
        return given


class AssistantRequest(QuestionRequest):
    """A question to the assistant; `task` chooses the prompt and the class of model."""

    task = serializers.ChoiceField(
        [each for each in TaskKind.choices if each[0] not in {TaskKind.EMBEDDING, TaskKind.REPLAY}]
    )


class GenerationAccepted(serializers.Serializer[Generation]):
    """A question that is answered later."""

    id = serializers.UUIDField()
    state = serializers.ChoiceField(GenerationState.choices)
    status_url = serializers.SerializerMethodField()

    def get_status_url(self, generation: Generation) -> str:
        return reverse("generation", kwargs={"generation_id": generation.pk}, request=self.context["request"])


class UsageSerializer(serializers.Serializer[Generation]):
    input_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField(help_text="Of the input tokens, those the provider had cached.")
    output_tokens = serializers.IntegerField()


class GenerationErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class GenerationSerializer(serializers.Serializer[Generation]):
    """A question to the AI. Once it has succeeded, the answer is in `text` or, if structured, in `data`."""

    id = serializers.UUIDField()
    task = serializers.ChoiceField(TaskKind.choices, source="task_kind")
    state = serializers.ChoiceField(GenerationState.choices)
    priority = PriorityField()
    account = serializers.UUIDField(source="account_id", allow_null=True)
    campaign = serializers.UUIDField(source="campaign_id", allow_null=True)
    user = serializers.UUIDField(
        source="user_id", allow_null=True, help_text="For whom it was asked; null: an API key, for nobody."
    )
    text = serializers.SerializerMethodField()
    data = serializers.JSONField(allow_null=True)  # type: ignore[assignment]  # our field, not the base's
    source = serializers.SerializerMethodField()  # type: ignore[assignment]  # likewise
    age_s = serializers.SerializerMethodField(help_text="How old the answer was when it was given.")
    provider = serializers.SerializerMethodField()
    model = serializers.CharField(help_text="Empty until a provider has answered.")
    joined = serializers.UUIDField(
        source="joined_id", allow_null=True, help_text="The generation whose call answered this one, too."
    )
    attempts = serializers.IntegerField(help_text="Calls made to providers.")
    usage = UsageSerializer(source="*")
    cost = serializers.SerializerMethodField(help_text="Of all attempts.")
    error = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_text(self, generation: Generation) -> str | None:
        return generation.text or None

    @extend_schema_field(serializers.ChoiceField(Source.choices, allow_null=True))
    def get_source(self, generation: Generation) -> str | None:
        return generation.source or None

    @extend_schema_field(serializers.ChoiceField(Provider.choices, allow_null=True))
    def get_provider(self, generation: Generation) -> str | None:
        return generation.deployment.provider if generation.deployment else None

    def get_age_s(self, generation: Generation) -> float | None:
        return None if generation.age is None else round(generation.age.total_seconds(), 1)

    @extend_schema_field(MoneyField())
    def get_cost(self, generation: Generation) -> dict[str, str]:
        return MoneyField().to_representation(Money(generation.cost_by_now, generation.currency))

    @extend_schema_field(GenerationErrorSerializer(allow_null=True))
    def get_error(self, generation: Generation) -> dict[str, str] | None:
        if generation.state != GenerationState.FAILED:
            return None
        return {"code": generation.error_code, "message": generation.error}
