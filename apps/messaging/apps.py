from django.apps import AppConfig


class MessagingConfig(AppConfig):
    name = "apps.messaging"
    verbose_name = "Messaging"

    def ready(self) -> None:
        from apps.costs import subjects
        from apps.messaging import alert_rules, health, metrics
        from apps.messaging.models import Account
        from apps.notifications.rules import register_rule, register_service_rule
        from apps.operations import probes

        probes.register_health_check("dispatch", health.check_dispatch)
        probes.register_metrics("messages", metrics.messages_by_state)
        probes.register_metrics("dispatcher", metrics.dispatcher)
        probes.register_queue_probe(probes.QueueProbe("dispatch", metrics.oldest_due))
        register_rule("account_paused", alert_rules.paused_accounts, subject="account")
        register_service_rule("account_unauthorised", subject="account")
        register_rule("platform_breaker_open", alert_rules.open_platforms, subject="platform")
        subjects.register_subject("account", subjects.Subjects(Account))
