"""A generation's `explain`: the order of the deployments, what was tried, who answered. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.ai import matrix

HEADERS = ("step", "deployment", "result", "why")


@dataclass(frozen=True, slots=True)
class Line:
    """`answered_by`: the id of another generation, whose answer it was."""

    step: str
    deployment: str = ""
    result: str = ""
    why: str = ""
    answered_by: str = ""


def recovering(explain: Iterable[Any]) -> set[str]:
    """The names of the deployments that may answer the same question later: what each met last passes."""
    found: dict[str, bool] = {}
    for each in explain:
        match each:
            case {"deployment": name, "passed_over": _}:
                found[name] = each.get("passes", False)
            case {"deployment": name, "outcome": kind}:
                found[name] = matrix.passes(kind)
    return {name for name, passes in found.items() if passes}


def lines(explain: Iterable[Any]) -> list[Line]:
    """As a table, in the order in which it happened. What isn't known is shown as it is."""
    return [_line(each) if isinstance(each, Mapping) else Line("", why=str(each)) for each in explain]


def _line(entry: Mapping[str, Any]) -> Line:
    deployment = str(entry.get("deployment", ""))
    match entry:
        case {"place": place}:
            return Line(f"place {place}", deployment, "able", str(entry.get("reason", "")))
        case {"passed_over": why}:
            return Line("", deployment, "passed over", str(why))
        case {"attempt": attempt, "outcome": outcome}:
            result = str(outcome).replace("_", " ")
            return Line(f"attempt {attempt}", deployment, result, str(entry.get("message", "")))
        case {"answered_by": generation}:
            why = str(entry.get("reason", ""))
            return Line("answered by", why=why, answered_by=str(generation))
    said = (f"{name}: {value}" for name, value in entry.items() if name != "deployment")
    return Line("", deployment, why=", ".join(said))
