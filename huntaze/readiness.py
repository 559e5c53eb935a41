"""Tell the process manager when a Celery process really takes work: started is not yet connected."""

import os
from pathlib import Path

import structlog
from celery.signals import beat_init, worker_ready

log = structlog.get_logger(__name__)


@worker_ready.connect
@beat_init.connect
def _say_ready(**_: object) -> None:
    """Log it, and leave our process id in $HUNTAZE_READY_DIR under the name that the manager gave us."""
    log.info("process.ready", pid=os.getpid())
    folder, name = os.environ.get("HUNTAZE_READY_DIR"), os.environ.get("SUPERVISOR_PROCESS_NAME")
    if folder and name:
        (Path(folder) / name).write_text(str(os.getpid()))
