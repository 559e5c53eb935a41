from django.apps import AppConfig


class CostsConfig(AppConfig):
    name = "apps.costs"
    verbose_name = "Costs"

    def ready(self) -> None:
        from apps.costs import alert_rules, metrics, subjects
        from apps.notifications.rules import register_rule
        from apps.operations import probes
        from apps.tenants.models import Membership

        probes.register_metrics("costs", metrics.cost_of_this_month)
        probes.register_metrics("budgets", metrics.budgets_remaining)
        register_rule("budget_threshold", alert_rules.budgets_at_a_threshold)
        register_rule("budget_exceeded", alert_rules.budgets_exceeded)
        register_rule("budget_shadow", alert_rules.budgets_in_shadow)
        register_rule("daily_cost", alert_rules.dear_days)
        register_rule("usage_above_bound", alert_rules.usage_above_bound)
        subjects.register_subject("user", subjects.has(Membership, "user_id"))
