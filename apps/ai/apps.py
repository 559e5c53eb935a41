from django.apps import AppConfig


class AIConfig(AppConfig):
    name = "apps.ai"
    verbose_name = "AI"

    def ready(self) -> None:
        from apps.ai import alert_rules, metrics, observation
        from apps.ai.models import TaskKind
        from apps.costs.task_kinds import register_task_kinds
        from apps.notifications.rules import register_rule, register_service_rule
        from apps.operations import probes

        probes.register_metrics("generations", metrics.generations_by_state)
        probes.register_metrics("breakers", metrics.breakers)
        probes.register_derived_metrics("cache", observation.cache_hit_ratio)
        probes.register_queue_probe(probes.QueueProbe("ai", metrics.oldest_due))
        register_task_kinds(TaskKind.choices)
        register_rule("ai_error_rate", alert_rules.failing_attempts)
        register_rule("breaker_open", alert_rules.open_breakers, subject="deployment")
        register_service_rule("deployment_disabled", subject="deployment")
