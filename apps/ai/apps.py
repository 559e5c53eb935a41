from django.apps import AppConfig


class AIConfig(AppConfig):
    name = "apps.ai"
    verbose_name = "AI"

    def ready(self) -> None:
        from apps.ai import metrics, observation
        from apps.operations import probes

        probes.register_metrics("generations", metrics.generations_by_state)
        probes.register_metrics("breakers", metrics.breakers)
        probes.register_derived_metrics("cache", observation.cache_hit_ratio)
        probes.register_queue_probe(probes.QueueProbe("ai", metrics.oldest_due))
