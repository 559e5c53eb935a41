from apps.costs.admin import budgets, currencies, prices, records, tenants

__all__ = ["budgets", "currencies", "prices", "records", "tenants"]
