"""Evaluating the rules, and raising what they find."""

from collections.abc import Iterable
from datetime import datetime
from itertools import islice

import structlog
from django.db import connection

from apps.notifications.models import Alert
from apps.notifications.rules import Finding, rules
from apps.notifications.services.alerts import raise_alert
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

STATEMENT_TIMEOUT_MS = 5000
# Findings that are compared with the alerts there are in one statement.
AT_ONCE = 200


def evaluate_rules(*, now: datetime) -> int:
    """Evaluate every rule, each by itself: the number of alerts that were raised.

    A rule that fails keeps no other from being evaluated; then an ExceptionGroup says so at the end.
    """
    raised, failures = 0, []
    for name, evaluate in rules.items():
        try:
            with system_transaction():
                with connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}")
                raised += raise_findings(name, evaluate(now), now=now)
        except Exception as error:
            log.exception("rule.failed", rule=name)
            failures.append(error)
    if failures:
        raise ExceptionGroup(f"{len(failures)} of {len(rules)} rules failed", failures)
    return raised


def raise_findings(rule: str, findings: Iterable[Finding], *, now: datetime) -> int:
    """Raise those that weren't raised before, in the caller's transaction: their number."""
    # In one order, lest two who raise the same wait for each other in a circle.
    raised, rest = 0, iter(sorted(findings, key=lambda finding: tuple(map(str, _key(finding)))))
    while batch := list(islice(rest, AT_ONCE)):
        known = _known(rule, batch)
        for finding in batch:
            if _key(finding) not in known:
                raised += _raise(rule, finding, now=now)
    return raised


def _known(rule: str, findings: Iterable[Finding]) -> set[tuple[object, ...]]:
    """Most of what a rule finds was found before; asking so costs one statement and writes nothing."""
    alerts = Alert.objects.filter(rule=rule, subject__in={finding.subject for finding in findings})
    periods = alerts.filter(period__in={finding.period for finding in findings})
    return set(periods.values_list("tenant_id", "subject", "period", "level"))


def _key(finding: Finding) -> tuple[object, ...]:
    return finding.tenant_id, finding.subject, finding.period, str(finding.level)


def _raise(rule: str, finding: Finding, *, now: datetime) -> bool:
    alert = raise_alert(
        tenant_id=finding.tenant_id,
        rule=rule,
        subject=finding.subject,
        period=finding.period,
        level=finding.level,
        message=finding.message,
        data=finding.data,
        quiet=finding.quiet,
        now=now,
    )
    return alert is not None
