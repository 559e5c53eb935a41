from apps.ai.models.deployments import (
    BreakerChange,
    BreakerState,
    Deployment,
    ModelClass,
    Provider,
    TaskKind,
)
from apps.ai.models.generations import (
    Generation,
    GenerationQuerySet,
    GenerationState,
    PromptTemplate,
    Source,
)
from apps.ai.models.optimisation import (
    CURRENT,
    Analysis,
    AnalysisState,
    Recommendation,
    RecommendationKind,
    Status,
)
from apps.ai.models.preferences import RoutingPreference, TaskPreference, TenantPreference
from apps.ai.models.replays import ItemState, Replay, ReplayItem, ReplayState

__all__ = [
    "CURRENT",
    "Analysis",
    "AnalysisState",
    "BreakerChange",
    "BreakerState",
    "Deployment",
    "Generation",
    "GenerationQuerySet",
    "GenerationState",
    "ItemState",
    "ModelClass",
    "PromptTemplate",
    "Provider",
    "Recommendation",
    "RecommendationKind",
    "Replay",
    "ReplayItem",
    "ReplayState",
    "RoutingPreference",
    "Source",
    "Status",
    "TaskKind",
    "TaskPreference",
    "TenantPreference",
]
