"""The Django project: settings, Celery app, URLs, and how it runs on one machine."""

import atexit
import gc

# A process that starts makes hundreds of thousands of objects that stay as long as it does. To look for
# garbage among them again and again, and once more at the end, is a third of its work until it is ready.
# By default 700, 10 and 10 of CPython 3.11: new objects per young collection, and of these per older ones.
gc.set_threshold(50_000, 20, 100)
atexit.register(gc.freeze)
