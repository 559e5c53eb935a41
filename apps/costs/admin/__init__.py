from apps.costs.admin import bill_rows, bills, budgets, currencies, forecasts, prices, records, tenants

__all__ = ["bill_rows", "bills", "budgets", "currencies", "forecasts", "prices", "records", "tenants"]
