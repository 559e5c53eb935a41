"""The Django project: settings, Celery app, URLs, and how it runs on one machine."""
