"""Coverage in processes that tests start makes each work half as much again, most of it at its start."""

import os


def unmeasured() -> dict[str, str]:
    """Our environment, without what has a process measure coverage."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
