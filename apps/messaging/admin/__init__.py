from apps.messaging.admin import accounts, dispatcher, limits, messages, outboxes, tenants

__all__ = ["accounts", "dispatcher", "limits", "messages", "outboxes", "tenants"]
