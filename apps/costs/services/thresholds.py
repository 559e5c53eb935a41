from datetime import datetime
from uuid import UUID

from apps.costs import alert_rules
from apps.notifications.services.rules import raise_findings
from apps.tenants.doors import tenant_transaction


def check_budgets(*, tenant_id: UUID, now: datetime) -> int:
    """Raise what a settlement has just brought to a threshold: the number of alerts."""
    with tenant_transaction(tenant_id):
        findings = alert_rules.budgets_at_a_threshold(now, tenant_id=tenant_id)
        return raise_findings("budget_threshold", findings, now=now)
