from django.apps import AppConfig


class MessagingConfig(AppConfig):
    name = "apps.messaging"
    verbose_name = "Messaging"

    def ready(self) -> None:
        from apps.messaging import health, metrics
        from apps.operations import probes

        probes.register_health_check("dispatch", health.check_dispatch)
        probes.register_metrics("messages", metrics.messages_by_state)
        probes.register_metrics("dispatcher", metrics.dispatcher)
        probes.register_queue_probe(probes.QueueProbe("dispatch", metrics.oldest_due))
