"""What a worker's first task would have to wait for, loaded before the worker takes any."""

from typing import Any

from celery.signals import celeryd_after_setup


@celeryd_after_setup.connect
def _load_providers(instance: Any, **_: object) -> None:
    """Where the AI is asked; all others are spared a quarter of their start."""
    if "ai" in instance.app.amqp.queues.consume_from:
        from apps.ai import providers  # Django isn't set up yet where this module is read

        providers.load()
