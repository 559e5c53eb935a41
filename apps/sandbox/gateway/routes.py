"""The gateway's protocol: send a message, look one up by its key.

An arrival is stamped when its body has been read, and is in the ledger before anything else happens. Faults
come after authentication and validation. A fault's latency delays the answer, not the acceptance: a client
whose patience ends first is left with a message of unknown outcome.
"""

import asyncio
import math
import uuid
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from apps.sandbox.fault_routes import FaultDesk
from apps.sandbox.faults import Effect, Fault
from apps.sandbox.gateway.clock import Clock
from apps.sandbox.gateway.errors import GatewayError, error_of_fault
from apps.sandbox.gateway.ledger import Delivery, Ledger, Outcome
from apps.sandbox.gateway.limit import DeliveryTimes
from apps.sandbox.gateway.messages import Post, check_key, check_message, hash_text
from apps.sandbox.gateway.settings import GatewayFaults
from apps.sandbox.retry_after import RetryAfter
from apps.sandbox.server import cut, hang, json_response, read_json_object


class Gateway:
    """The protocol's routes over one ledger."""

    def __init__(self, *, ledger: Ledger, desk: FaultDesk[GatewayFaults]) -> None:
        self._ledger = ledger
        self._desk = desk
        self._clock = Clock(not_before=ledger.last_at)
        self._delivered = DeliveryTimes()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/gateway/accounts/{account}/chats/{recipient}/messages", self._send),
            web.get("/gateway/accounts/{account}/messages", self._look_up),
            web.post("/reset", self._reset),
        ]

    async def _send(self, request: web.Request) -> web.StreamResponse:
        body = await read_json_object(request)
        post = _post(request, body, at=self._clock.now())
        try:
            self._authenticate(request, post.account)
            check_key(post.key)
            check_message(body)
        except GatewayError as error:
            self._ledger.record(post.arrival(Outcome.REJECTED, status=error.status))
            return error.response()
        facts = {"operation": "send", "account": post.account, "recipient": post.recipient}
        fault = self._desk.current.plan.draw(facts)
        if fault.effect in (Effect.HANG, Effect.CUT_BEFORE):
            self._ledger.record(post.arrival(Outcome.LOST, status=0))
            return await _break(request, fault)
        if fault.effect is Effect.ERROR:
            self._ledger.record(post.arrival(Outcome.FAILED, status=fault.status))
            await asyncio.sleep(fault.delay)
            return error_of_fault(fault.status, fault.retry_after).response()
        return await self._accept(request, post, fault)

    async def _accept(self, request: web.Request, post: Post, fault: Fault) -> web.StreamResponse:
        faults = self._desk.current
        answered = fault.effect is not Effect.CUT_AFTER
        known = self._ledger.delivery(account=post.account, key=post.key) if faults.honour_keys else None
        if known is not None:
            status = 200 if answered else 0
            self._ledger.record(post.arrival(Outcome.REPEATED, status=status, message_id=known.message_id))
            return await _answer(request, fault, known, status=200)
        limit = faults.enforced_limit
        wait = self._delivered.wait(limit, account=post.account, now=post.at) if limit else 0
        if wait > 0:
            self._ledger.record(post.arrival(Outcome.LIMITED, status=429))
            later = RetryAfter(seconds=math.ceil(wait))
            return GatewayError(429, "rate_limited", "too many messages", later).response()
        delivery = Delivery(message_id=str(uuid.uuid4()), at=post.at)
        status = 201 if answered else 0
        self._ledger.record(post.arrival(Outcome.ACCEPTED, status=status, message_id=delivery.message_id))
        if limit:
            self._delivered.add(account=post.account, now=post.at)
        return await _answer(request, fault, delivery, status=201)

    async def _look_up(self, request: web.Request) -> web.StreamResponse:
        faults = self._desk.current
        account = request.match_info["account"]
        key = request.query.get("idempotency_key", "").strip()
        try:
            self._authenticate(request, account)
            if faults.lookup_status is not None:
                raise GatewayError(faults.lookup_status, "no_lookup", "this gateway looks no messages up")
            check_key(key)
        except GatewayError as error:
            return error.response()
        fault = faults.plan.draw({"operation": "lookup", "account": account})
        await asyncio.sleep(fault.delay)
        match fault.effect:
            case Effect.ERROR:
                return error_of_fault(fault.status, fault.retry_after).response()
            case Effect.MALFORMED:
                return _garbled(200)
            case Effect.HANG | Effect.CUT_BEFORE | Effect.CUT_AFTER:
                return await _break(request, fault)
        delivery = self._ledger.delivery(account=account, key=key)
        return json_response({"messages": [] if delivery is None else [_message(delivery)]})

    async def _reset(self, request: web.Request) -> web.Response:
        self._ledger.clear()
        self._delivered.clear()
        return json_response({"arrivals": 0})

    def _authenticate(self, request: web.Request, account: str) -> None:
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not credential.strip():
            raise GatewayError(
                401, "unauthorized", "send Authorization: Bearer with the account's credential"
            )
        if account in self._desk.current.revoked_accounts:
            raise GatewayError(401, "unauthorized", "this account's credential has been revoked")


def _post(request: web.Request, body: dict[str, Any] | None, *, at: float) -> Post:
    return Post(
        at=at,
        account=request.match_info["account"],
        recipient=request.match_info["recipient"],
        key=request.headers.get("Idempotency-Key", "").strip(),
        text_hash=hash_text(body.get("text") if body else None),
    )


async def _answer(
    request: web.Request, fault: Fault, delivery: Delivery, *, status: int
) -> web.StreamResponse:
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.effect is Effect.CUT_AFTER:
        return await cut(request)
    if fault.effect is Effect.MALFORMED:
        return _garbled(status)
    return json_response(_message(delivery), status=status)


async def _break(request: web.Request, fault: Fault) -> web.StreamResponse:
    if fault.effect is Effect.HANG:
        return await hang()
    return await cut(request)


def _garbled(status: int) -> web.Response:
    return web.Response(body=b'{"id": "', status=status, content_type="application/json")


def _message(delivery: Delivery) -> dict[str, str]:
    created_at = datetime.fromtimestamp(delivery.at, UTC).isoformat(timespec="microseconds")
    return {"id": delivery.message_id, "created_at": created_at.replace("+00:00", "Z")}
