from apps.messaging.admin import accounts, messages, outboxes

__all__ = ["accounts", "messages", "outboxes"]
