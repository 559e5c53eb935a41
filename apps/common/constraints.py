"""Which of the database's constraints an error is about."""

from django.db import IntegrityError


def violated(error: IntegrityError) -> str:
    """The name of the constraint; empty where the database names none."""
    diagnostics = getattr(error.__cause__, "diag", None)
    return str(getattr(diagnostics, "constraint_name", None) or "")
