from apps.costs.admin import budgets, forecasts, prices, records, tenants

__all__ = ["budgets", "forecasts", "prices", "records", "tenants"]
