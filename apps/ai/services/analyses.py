"""Analyses: rows that want a tenant's questions looked at, and the recommendations that come of it."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db.models import F

from apps.ai.models import (
    CURRENT,
    Analysis,
    AnalysisState,
    Generation,
    Recommendation,
    Status,
)
from apps.ai.optimisation.facts import Facts
from apps.ai.optimisation.findings import Finding
from apps.ai.optimisation.patterns import analyse
from apps.ai.services.usage import WINDOW, read_facts
from apps.common.ids import first_id_of
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=5)
# One that kills whoever works on it isn't begun without end.
MOST_ATTEMPTS = 3
# For so long nobody is told again what was dismissed, rejected or reverted.
QUIET = timedelta(days=30)
# What a new analysis may take back.
_OPEN = (Status.OPEN, Status.VERIFIED)


def request_analysis(*, tenant_id: UUID, by: str = "") -> Analysis:
    """Leave an analysis to the workers, or return the one that is waiting already.

    Runs in the caller's transaction of the tenant.
    """
    open_ones = Analysis.objects.filter(state__in=[AnalysisState.PENDING, AnalysisState.RUNNING])
    row, _ = open_ones.get_or_create(tenant_id=tenant_id, defaults={"requested_by": by})
    return row


def plan_analyses(*, now: datetime) -> int:
    """Leave one for each tenant that has asked anything within the window. Returns how many there are."""
    asked = Generation.objects.filter(pk__gte=first_id_of(now - WINDOW))
    with system_transaction():
        tenants = list(Tenant.objects.values_list("pk", flat=True))
    planned = 0
    for tenant_id in tenants:
        with tenant_transaction(tenant_id):
            if asked.filter(tenant_id=tenant_id).exists():
                request_analysis(tenant_id=tenant_id)
                planned += 1
    return planned


def waiting_analyses(*, now: datetime, limit: int = 500) -> list[UUID]:
    """Those that nobody works on, the oldest first."""
    with system_transaction():
        waiting = Analysis.objects.waiting(now=now).order_by("id")
        return list(waiting.values_list("pk", flat=True)[:limit])


def run_analysis(*, analysis_id: UUID, now: datetime) -> Analysis | None:
    """Do an analysis that nobody works on. None if somebody does, or has."""
    claimed = _claim(analysis_id, now=now)
    if claimed is None:
        return None
    if claimed.attempts > MOST_ATTEMPTS:
        _end(
            claimed,
            state=AnalysisState.FAILED,
            now=now,
            error="Every process that worked on it died or failed.",
        )
        return claimed
    with tenant_transaction(claimed.tenant_id):
        facts = read_facts(tenant_id=claimed.tenant_id, now=now)
    findings = analyse(facts, least=settings.OPTIMISATION_LEAST_SAVING)
    with tenant_transaction(claimed.tenant_id):
        if _end(claimed, state=AnalysisState.DONE, now=now, found=len(findings), **_read(facts)):
            keep_findings(tenant_id=claimed.tenant_id, findings=findings, now=now)
    log.info(
        "analysis.done", tenant_id=str(claimed.tenant_id), found=len(findings), generations=len(facts.asked)
    )
    return claimed


def keep_findings(*, tenant_id: UUID, findings: list[Finding], now: datetime) -> None:
    """Make recommendations of what was found, and put aside those that no longer hold.

    What is open is refreshed. What was dismissed, rejected or reverted lately, or is applied or being
    verified, stays as it is. Runs in the caller's transaction.
    """
    # In the order of ids, as everybody locks them.
    rows = list(Recommendation.objects.select_for_update().filter(tenant_id=tenant_id).order_by("id"))
    # The newest of each, unless an older one was taken up again: that is the one that holds.
    rows.sort(key=lambda row: row.status in CURRENT)
    latest = {(row.kind, row.subject): row for row in rows}
    for finding in findings:
        row = latest.pop((finding.kind, finding.subject), None)
        if row is not None and row.status in (*_OPEN, Status.OBSOLETE):
            _refresh(row, finding, now=now)
        elif row is None or (
            row.status not in CURRENT and (row.quiet_until is None or row.quiet_until <= now)
        ):
            Recommendation.objects.create(
                tenant_id=tenant_id, kind=finding.kind, subject=finding.subject, **_columns(finding, now=now)
            )
    gone = [row.pk for row in latest.values() if row.status in _OPEN]
    Recommendation.objects.filter(pk__in=gone).update(
        status=Status.OBSOLETE, remark="The last analysis didn't find it any more."
    )


def _refresh(row: Recommendation, finding: Finding, *, now: datetime) -> None:
    columns = _columns(finding, now=now)
    if row.status == Status.VERIFIED and row.change != finding.change:
        # Another deployment has taken the name by now, whose answers nobody has seen.
        columns |= {"status": Status.OPEN, "verified_at": None}
    elif row.status == Status.VERIFIED:
        # What the replay has shown of the answers counts for more than how often it was seen.
        columns |= {"confidence": row.confidence, "reasons": row.reasons}
        columns["evidence"] = {**columns["evidence"], "replay": row.evidence.get("replay")}
    if row.status == Status.OBSOLETE:
        columns |= {"status": Status.OPEN, "remark": ""}
    Recommendation.objects.filter(pk=row.pk).update(**columns)


def _columns(finding: Finding, *, now: datetime) -> dict[str, Any]:
    return {
        "task_kind": finding.task_kind,
        "advice": finding.advice,
        "change": finding.change,
        "monthly_saving": finding.monthly_saving,
        "confidence": finding.confidence.value,
        "reasons": list(finding.confidence.reasons),
        "evidence": dict(finding.evidence),
        "analysed_at": now,
    }


def _claim(analysis_id: UUID, *, now: datetime) -> Analysis | None:
    with system_transaction():
        waiting = Analysis.objects.waiting(now=now).select_for_update(skip_locked=True)
        found = waiting.filter(pk=analysis_id).first()
        if found is None:
            return None
        Analysis.objects.filter(pk=found.pk).update(
            state=AnalysisState.RUNNING, lease_expires_at=now + LEASE, attempts=F("attempts") + 1
        )
        found.refresh_from_db()
        return found


def _read(facts: Facts) -> dict[str, object]:
    return {
        "generations": len(facts.asked),
        "is_sample": facts.is_sample,
        "since": facts.asked[0].at if facts.asked else None,
    }


def _end(claimed: Analysis, *, state: AnalysisState, now: datetime, **columns: object) -> bool:
    """Only the attempt that we claimed: somebody else may have taken over meanwhile, and then it is False."""
    with tenant_transaction(claimed.tenant_id):
        mine = Analysis.objects.filter(pk=claimed.pk, attempts=claimed.attempts, state=AnalysisState.RUNNING)
        return bool(mine.update(state=state, finished_at=now, lease_expires_at=None, **columns))
