from django.apps import AppConfig


class CostsConfig(AppConfig):
    name = "apps.costs"
    verbose_name = "Costs"

    def ready(self) -> None:
        from apps.costs import alert_rules, metrics
        from apps.notifications.rules import register_rule
        from apps.operations import probes

        probes.register_metrics("costs", metrics.cost_of_this_month)
        probes.register_metrics("budgets", metrics.budgets_remaining)
        for name, evaluate in alert_rules.RULES.items():
            register_rule(name, evaluate)
