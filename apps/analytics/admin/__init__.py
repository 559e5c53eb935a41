from apps.analytics.admin import revenue

__all__ = ["revenue"]
