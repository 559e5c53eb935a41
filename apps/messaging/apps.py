from django.apps import AppConfig


class MessagingConfig(AppConfig):
    name = "apps.messaging"
    verbose_name = "Messaging"

    def ready(self) -> None:
        from apps.messaging import metrics
        from apps.operations import probes

        probes.register_metrics("messages", metrics.messages_by_state)
        probes.register_queue_probe(probes.QueueProbe("dispatch", metrics.oldest_due))
