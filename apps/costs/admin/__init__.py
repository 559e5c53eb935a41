from apps.costs.admin import budgets, prices, records, tenants

__all__ = ["budgets", "prices", "records", "tenants"]
