"""The gateway's protocol: send a message, look one up by its key.

An arrival is stamped when its body has been read; until it is in the ledger nothing else happens. Faults come
after authentication and validation; a fault's latency delays the answer, not the acceptance, so that a client whose
patience ends first has a message of unknown outcome.
"""

import asyncio
import math
import uuid
from datetime import UTC, datetime

from aiohttp import web

from apps.sandbox.fault_routes import FaultDesk
from apps.sandbox.faults import Effect, Fault
from apps.sandbox.gateway.clock import Clock
from apps.sandbox.gateway.ledger import Arrival, Delivery, Ledger, Outcome, text_hash
from apps.sandbox.gateway.limit import DeliveryTimes
from apps.sandbox.gateway.messages import MAX_KEY, Refusal, message_text, refusal_of_fault
from apps.sandbox.gateway.settings import GatewayFaults
from apps.sandbox.journal import JournalWriteError
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
        ]

    async def _send(self, request: web.Request) -> web.StreamResponse:
        body = await read_json_object(request)
        at = self._clock.now()
        account, recipient = request.match_info["account"], request.match_info["recipient"]
        key = request.headers.get("Idempotency-Key", "").strip()
        text = body.get("text") if body else None
        hashed = text_hash(text) if isinstance(text, str) else ""

        def record(outcome: Outcome, status: int, message_id: str | None = None) -> None:
            accepted = outcome is Outcome.ACCEPTED
            self._ledger.record(
                Arrival(at, account, recipient, key[:MAX_KEY], hashed, outcome, status, accepted, message_id)
            )

        try:
            try:
                self._authenticate(request, account)
                _check_key(key)
                message_text(body)
            except Refusal as refusal:
                record(Outcome.REJECTED, refusal.status)
                return refusal.response()
            fault = self._desk.current.plan.draw(
                {"operation": "send", "account": account, "recipient": recipient}
            )
            if fault.effect in (Effect.HANG, Effect.CUT_BEFORE):
                record(Outcome.LOST, 0)
                return await _break(request, fault)
            if fault.effect is Effect.ERROR:
                record(Outcome.FAILED, fault.status)
                await asyncio.sleep(fault.delay)
                return refusal_of_fault(fault.status, fault.retry_after).response()

            silent = fault.effect is Effect.CUT_AFTER
            known = self._ledger.delivery(account=account, key=key)
            if known is not None and self._desk.current.honour_keys:
                status = 200
                delivery = known
                record(Outcome.REPEATED, 0 if silent else status, known.message_id)
            else:
                wait = self._wait(account, at)
                if wait > 0:
                    record(Outcome.LIMITED, 429)
                    return Refusal(429, "rate_limited", "too many messages", math.ceil(wait)).response()
                status = 201
                delivery = Delivery(message_id=str(uuid.uuid4()), at=at)
                record(Outcome.ACCEPTED, 0 if silent else status, delivery.message_id)
                self._note(account, at)
        except JournalWriteError as error:
            return Refusal(503, "unavailable", str(error)).response()
        return await _answer(request, fault, delivery, status)

    async def _look_up(self, request: web.Request) -> web.StreamResponse:
        faults = self._desk.current
        account = request.match_info["account"]
        try:
            self._authenticate(request, account)
            if faults.lookup_status is not None:
                raise Refusal(faults.lookup_status, "no_lookup", "this gateway looks no messages up")
            key = request.query.get("idempotency_key", "").strip()
            _check_key(key)
        except Refusal as refusal:
            return refusal.response()
        fault = faults.plan.draw({"operation": "lookup", "account": account})
        await asyncio.sleep(fault.delay)
        if fault.effect is Effect.ERROR:
            return refusal_of_fault(fault.status, fault.retry_after).response()
        if fault.effect is Effect.MALFORMED:
            return _garbled(200)
        if fault.effect is not Effect.NONE:
            return await _break(request, fault)
        delivery = self._ledger.delivery(account=account, key=key)
        return json_response({"messages": [] if delivery is None else [_message(delivery)]})

    def _authenticate(self, request: web.Request, account: str) -> None:
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not credential.strip():
            raise Refusal(401, "unauthorized", "send Authorization: Bearer with the account's credential")
        if account in self._desk.current.revoked_accounts:
            raise Refusal(401, "unauthorized", "this account's credential has been revoked")

    def _wait(self, account: str, now: float) -> float:
        limit = self._desk.current.enforced_limit
        return 0 if limit is None else self._delivered.wait(limit, account=account, now=now)

    def _note(self, account: str, now: float) -> None:
        if self._desk.current.enforced_limit is not None:
            self._delivered.add(account=account, now=now)


def _check_key(key: str) -> None:
    if not key:
        raise Refusal(400, "idempotency_key_missing", "an idempotency key is required")
    if len(key) > MAX_KEY:
        raise Refusal(400, "idempotency_key_too_long", f"a key has at most {MAX_KEY} characters")


async def _answer(request: web.Request, fault: Fault, delivery: Delivery, status: int) -> web.StreamResponse:
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
    created_at = (
        datetime.fromtimestamp(delivery.at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    )
    return {"id": delivery.message_id, "created_at": created_at}
