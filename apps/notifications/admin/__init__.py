from apps.notifications.admin import alerts, deliveries, targets

__all__ = ["alerts", "deliveries", "targets"]
