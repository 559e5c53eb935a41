"""After a settlement: whoever waits for an answer must not wait for a broker as well."""

import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from uuid import UUID

import structlog
from kombu.exceptions import OperationalError as BrokerError

from tasks.base import hint_on_commit
from tasks.costs import check_budgets, enter_corrections

log = structlog.get_logger(__name__)

# A tenant's budgets are looked at no more often than so, by one process; the rules' tick finds the rest.
EVERY_S = 1.0
_MOST_TENANTS = 10_000

_hinted: "OrderedDict[UUID, float]" = OrderedDict()
_lock = Lock()
_sender = ThreadPoolExecutor(1, thread_name_prefix="settled")
_last: "Future[None] | None" = None


def hint_settled(tenant_id: UUID) -> None:
    """Have a tenant's budgets compared with their thresholds soon. Returns at once and raises nothing.

    While one hint is stuck, since the broker is away, there are no others.
    """
    global _last
    with _lock:
        now = time.monotonic()
        if now - _hinted.get(tenant_id, -EVERY_S) < EVERY_S or (_last is not None and not _last.done()):
            return
        _hinted[tenant_id] = now
        _hinted.move_to_end(tenant_id)
        if len(_hinted) > _MOST_TENANTS:
            _hinted.popitem(last=False)
        _last = _sender.submit(_send, tenant_id)


def hint_corrections() -> None:
    """Have planned corrections entered at once."""
    hint_on_commit(enter_corrections)


def _send(tenant_id: UUID) -> None:
    try:
        check_budgets.apply_async((), {"tenant_id": str(tenant_id)}, expires=60)
    except (BrokerError, OSError) as error:
        log.warning("settlement.not_hinted", error=str(error))
