from apps.tenants.admin import keys, tenants, users

__all__ = ["keys", "tenants", "users"]
