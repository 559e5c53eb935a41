from django.db import models


class Priority(models.IntegerChoices):
    """How soon, as a column that sorts: the smaller, the sooner. The API uses the names."""

    HIGH = 0, "high"
    MEDIUM = 1, "medium"
    LOW = 2, "low"

    @classmethod
    def from_label(cls, label: str) -> "Priority":
        return cls[label.upper()]
