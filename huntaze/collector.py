"""Spare Celery's workers most of Python's garbage collection.

After the start hundreds of thousands of objects live as long as the process does. A full collection walks all
of them, and batches of hundreds of rows and requests cause one after the other: half of what dispatch works.
That young objects are looked at less often, too, holds for all our processes (huntaze/__init__.py).
"""

import gc

from celery.signals import worker_process_init, worker_ready


@worker_ready.connect
@worker_process_init.connect
def _spare_what_stays(**_: object) -> None:
    """Leave alone whatever there is by now."""
    gc.collect()
    gc.freeze()
