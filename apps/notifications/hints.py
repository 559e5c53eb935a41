"""Hints at deliveries, by the task's name: tasks, and our Celery app, import what stands above this app."""

from celery import current_app
from django.db import transaction

from apps.notifications.models import Channel


def hint_deliveries() -> None:
    """Have what was just raised, or is to be sent again, sent once that is committed.

    Lost, it costs seconds: the next tick finds the rows.
    """
    transaction.on_commit(_hint, robust=True)


def _hint() -> None:
    for channel in Channel:
        current_app.send_task("tasks.notifications.send_due", kwargs={"channel": channel.value}, expires=5)
