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
        for name, evaluate in alert_rules.RULES.items():
            register_rule(name, evaluate, subject=alert_rules.SUBJECTS.get(name, ""))
        subjects.register_subject("user", subjects.Subjects(Membership, "user_id", "user__email"))
