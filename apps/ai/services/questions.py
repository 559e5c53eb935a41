"""What is asked of the AI, for whom and for what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.ai.models import Generation, PromptTemplate, TaskKind
from apps.ai.providers.requests import ChatRequest, EmbeddingRequest
from apps.ai.services import rows
from apps.common.ids import uuid7
from apps.common.priority import Priority
from apps.costs.services.holds import Purpose


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that a generation's row says before there is an answer.

    `fresh`: neither the cache nor an identical call in flight may answer it. `pinned_id`: the one deployment
    that is asked, for a replay, whose answer is for nobody else. `asked_at` decides the budgets' periods.
    `request` is what the prompt makes of the variables, where that is known already.
    """

    tenant_id: UUID
    prompt: PromptTemplate
    variables: Mapping[str, Any]
    asked_at: datetime
    max_tokens: int
    priority: Priority = Priority.MEDIUM
    account_id: UUID | None = None
    campaign_id: UUID | None = None
    user_id: UUID | None = None
    fresh: bool = False
    pinned_id: UUID | None = None
    request: ChatRequest | EmbeddingRequest | None = None
    id: UUID = field(default_factory=uuid7)

    @classmethod
    def of(cls, generation: Generation) -> "Question":
        """What a row asks."""
        return cls(
            tenant_id=generation.tenant_id,
            prompt=generation.prompt,
            variables=generation.variables,
            asked_at=generation.created_at,
            max_tokens=generation.max_tokens,
            priority=Priority(generation.priority),
            account_id=generation.account_id,
            campaign_id=generation.campaign_id,
            user_id=generation.user_id,
            fresh=generation.fresh,
            pinned_id=generation.pinned_id,
            id=generation.pk,
        )

    @property
    def task_kind(self) -> str:
        return self.prompt.task_kind if self.pinned_id is None else str(TaskKind.REPLAY)

    @property
    def embeds(self) -> bool:
        return self.task_kind == TaskKind.EMBEDDING

    @property
    def row(self) -> rows.Question:
        return rows.Question(self.prompt.pk, self.variables, self.max_tokens, self.priority)

    @property
    def purpose(self) -> Purpose:
        return Purpose(
            tenant_id=self.tenant_id,
            generation_id=self.id,
            task_kind=self.task_kind,
            occurred_at=self.asked_at,
            account_id=self.account_id,
            campaign_id=self.campaign_id,
            user_id=self.user_id,
        )
