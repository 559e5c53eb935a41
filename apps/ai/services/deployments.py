from datetime import datetime
from uuid import UUID

import structlog

from apps.ai.models import Deployment
from apps.ai.routing import Candidate
from apps.common.text import storable
from apps.notifications.models import Level
from apps.notifications.services.alerts import raise_alert
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

# Where others than operators read it: a provider may quote a part of our key.
REFUSED = "it refused our key, or has no credit for us"


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


def disable(candidate: Candidate, *, reason: str, tenant_id: UUID, now: datetime) -> None:
    """Call it no more until an operator says so, and tell people, by an alert of the tenant who met it."""
    with system_transaction():
        enabled = Deployment.objects.filter(pk=candidate.id, enabled=True)
        if not enabled.update(enabled=False, disabled_reason=storable(f"{REFUSED}: {reason}")[:300]):
            return
        raise_alert(
            tenant_id=tenant_id,
            rule="deployment_disabled",
            subject=str(candidate.id),
            period=now.isoformat(timespec="minutes"),
            level=Level.CRITICAL,
            message=f"{candidate.name} was disabled: {REFUSED}. The deployment's page has its words.",
            now=now,
        )
    log.error("deployment.disabled", deployment=candidate.name, reason=REFUSED)


def forget_why_disabled(*, deployment: Deployment) -> None:
    """What had disabled it was seen to, if it is enabled again; or it is the operator's own wish now."""
    Deployment.objects.filter(pk=deployment.pk).update(disabled_reason="")
