from uuid import UUID

from apps.ai.models import Deployment
from apps.ai.routing import Candidate


def candidates() -> tuple[list[Candidate], dict[UUID, str]]:
    """Every deployment as routing sees it, and why some of them may not be used."""
    rows = list(Deployment.objects.all())
    exclusions = {row.pk: "disabled" for row in rows if not row.enabled}
    return [_candidate(row) for row in rows], exclusions


def _candidate(row: Deployment) -> Candidate:
    return Candidate(
        id=row.pk,
        name=row.name,
        provider=row.provider,
        model=row.model,
        model_class=row.model_class,
        called=row.azure_deployment or row.model,
        weight=row.weight,
        timeout=row.attempt_timeout,
        context_tokens=row.context_tokens,
    )
