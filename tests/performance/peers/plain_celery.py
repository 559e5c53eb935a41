"""A Celery app with the settings that Celery comes with."""

import os

from celery import Celery

app = Celery("plain", broker=os.environ.get("CELERY_BROKER_URL"))


@app.task
def noop() -> None:
    pass
