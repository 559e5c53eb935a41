"""The rules that raise alerts: each app registers its own in `AppConfig.ready()`, so notifications know none.

A rule looks at rows and says what it finds; whether that was told before is not its business. Rules are
evaluated every few seconds, over all tenants, in a transaction of the system's door with a short statement
time-out, so a rule has to read an index or little.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.notifications.models import Level


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that people should know. The same rule, tenant, subject, period and level is told once.

    Without a tenant it is the platform's. A `quiet` one is listed, but sent to nobody.
    """

    tenant_id: UUID | None
    message: str
    subject: str = ""
    period: str = ""
    level: Level = Level.WARNING
    data: Mapping[str, Any] = field(default_factory=dict)
    quiet: bool = False


# Given the time, yields findings.
Evaluate = Callable[[datetime], Iterable[Finding]]

# What `test_target` raises about a target. Nobody mutes it, and it goes alone: it isn't tried for as long.
TEST = "test"

rules: dict[str, Evaluate] = {}
_of_services: set[str] = set()
_subjects = {TEST: "target"}


def register_rule(name: str, evaluate: Evaluate, *, subject: str = "") -> None:
    """`name` is what alerts, filters and targets call the rule; `subject` what its alerts' ids belong to."""
    rules[name] = evaluate
    _subjects[name] = subject


def register_service_rule(name: str, *, subject: str = "") -> None:
    """One that isn't evaluated: a service that meets the trouble raises its alerts."""
    _of_services.add(name)
    _subjects[name] = subject


def known_rules() -> list[str]:
    return sorted({*rules, *_of_services})


def rules_problem(names: Iterable[str]) -> str:
    """Which of these rules there aren't; empty if there are all."""
    known = known_rules()
    if unknown := [f"“{name}”" for name in names if name not in known]:
        return f"There is no rule {' or '.join(unknown)}. The rules are {', '.join(known)}."
    return ""


def subject_of(rule: str) -> str:
    """What the subjects of its alerts are, such as a budget; empty if nobody said."""
    return _subjects.get(rule, "")
