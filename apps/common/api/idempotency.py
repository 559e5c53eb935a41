"""`Idempotency-Key`: the same POST, sent again, creates nothing and gets the same answer."""

import hashlib
import json
from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID

from django.db.models.functions import Now
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from apps.common.errors import ConflictError, InvalidInputError
from apps.common.models import IdempotencyRecord

HEADER = "Idempotency-Key"
MAX_LENGTH = 255


def once(
    request: Request,
    *,
    tenant_id: UUID,
    create: Callable[[], Response],
    stands: Callable[[Any], bool] = lambda answer: True,
    shown_once: Collection[str] = (),
) -> Response:
    """Run `create` once per key of a tenant; the record commits together with what it creates.

    A second request that comes while the first is still at work waits for it on the unique index, then gets
    its answer. Without a key, `create` simply runs. Raises ConflictError if the key came with another body.

    What is created may come to nothing later. `stands` says of the kept answer whether it hasn't: if it has,
    the next request creates anew, and those beside it get that one's answer. Of `shown_once`, fields of the
    answer that are secret, null is kept.
    """
    key = request.headers.get(HEADER, "")
    if not key:
        return create()
    if len(key) > MAX_LENGTH or not (key.isascii() and key.isprintable()):
        raise InvalidInputError(
            f"{HEADER} has to be a text of at most {MAX_LENGTH} printable ASCII characters.",
            code="invalid_idempotency_key",
        )
    digest = _digest(request)
    _, created = IdempotencyRecord.objects.get_or_create(
        tenant_id=tenant_id, key=key, defaults={"request_hash": digest}
    )
    record = IdempotencyRecord.objects.get(tenant_id=tenant_id, key=key)
    if not created:
        _check(record, digest)
        if stands(record.response):
            return _replay(record)
        record = IdempotencyRecord.objects.select_for_update().get(pk=record.pk)
        if stands(record.response):  # somebody else was quicker
            return _replay(record)
    response = create()
    # Rendered and parsed again, so that the stored answer is what went over the wire.
    kept = _as_json(response, without=shown_once)
    IdempotencyRecord.objects.filter(pk=record.pk).update(
        status_code=response.status_code, response=kept, created_at=Now()
    )
    return response


def _check(record: IdempotencyRecord, digest: str) -> None:
    if record.request_hash != digest:
        raise ConflictError(
            f"This {HEADER} was used before with another request; use a new key for a new request.",
            code="idempotency_key_reused",
        )


def _replay(record: IdempotencyRecord) -> Response:
    return Response(record.response, status=record.status_code, headers={"Idempotency-Replayed": "true"})


def _digest(request: Request) -> str:
    head = f"{request.method} {request.path}\n".encode()
    return hashlib.sha256(head + request._request.body).hexdigest()


def _as_json(response: Response, *, without: Collection[str]) -> object:
    data = {**response.data, **dict.fromkeys(without)} if without else response.data
    return json.loads(json.dumps(data, cls=JSONEncoder))
