"""Spare Celery's workers most of Python's garbage collection.

After the start hundreds of thousands of objects live as long as the process does. A full collection walks all
of them, and batches of hundreds of rows and requests cause one after the other: half of what dispatch works.
"""

import gc

from celery.signals import worker_process_init, worker_ready

# By default 700, 10 and 10 of CPython 3.11: new objects per young collection, and of these per older ones.
THRESHOLDS = (50_000, 20, 100)


@worker_ready.connect
@worker_process_init.connect
def _spare_what_stays(**_: object) -> None:
    """Leave alone whatever there is by now; collect what comes later less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
