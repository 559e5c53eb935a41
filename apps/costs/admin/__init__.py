from apps.costs.admin import budgets, prices, reconciliation, records, tenants

__all__ = ["budgets", "prices", "reconciliation", "records", "tenants"]
