from django.apps import AppConfig


class OperationsConfig(AppConfig):
    name = "apps.operations"
    verbose_name = "Operations"

    def ready(self) -> None:
        from apps.notifications.rules import register_rule
        from apps.notifications.services.deliveries import oldest_due
        from apps.operations import (
            alert_rules,
            health,
            metrics,
            probes,
            request_log,  # noqa: F401 -- it connects signals
        )

        probes.register_health_check("database", health.check_database)
        probes.register_health_check("migrations", health.check_migrations)
        probes.register_health_check("redis", health.check_redis)
        probes.register_health_check("broker", health.check_broker)
        probes.register_metrics("dead_letters", metrics.dead_letters)
        probes.register_metrics("oldest_due_work", metrics.oldest_due_work)
        # Notifications stand below operations and can't register themselves.
        probes.register_queue_probe(probes.QueueProbe("notifications", oldest_due))
        register_rule("dead_letter", alert_rules.dead_letters, subject="task")
        register_rule("api_error_rate", alert_rules.failing_requests)
