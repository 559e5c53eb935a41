"""What questions are asked for: the values of `task_kind`, which the app above that asks them names."""

from collections.abc import Iterable

_kinds: list[tuple[str, str]] = []


def register_task_kinds(choices: Iterable[tuple[str, str]]) -> None:
    """Choices as models have them: each with its label."""
    _kinds.extend(choices)


def task_kinds() -> list[tuple[str, str]]:
    return list(_kinds)
