from apps.analytics.models.revenue import RevenueEntry, RevenueKind

__all__ = ["RevenueEntry", "RevenueKind"]
