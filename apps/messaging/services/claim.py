"""The claim: due accounts get slots of their limits for the heads of their queues."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from apps.messaging.gateways import client
from apps.messaging.gateways.registry import connected_platforms
from apps.messaging.limiter import sql_logs
from apps.messaging.limiter.rules import (
    LimiterUnavailableError,
    MissingLogsError,
    StaleEpochError,
    Verdict,
    Visit,
    microseconds,
)
from apps.messaging.models import Message, MessageState, Mode
from apps.messaging.services import blocks, breakers, due, epoch, granting, heartbeat, queue, quiet_hours
from apps.messaging.services.blocks import Blocks
from apps.messaging.services.due import DueAccount
from apps.messaging.services.epoch import Epoch
from apps.messaging.services.limits import read_limits
from apps.messaging.services.queue import Head
from apps.messaging.services.tally import Tally
from apps.messaging.services.visits import Prepared, prepare
from apps.messaging.timing import LATEST_ARRIVAL
from apps.tenants.system import system_transaction

log = structlog.get_logger(__name__)

ACCOUNTS_AT_ONCE = 100
MESSAGES_A_VISIT = 10
# As many messages as a worker can have on their way to platforms at once.
LEASES_A_WORKER = client.CONNECTIONS
_AHEAD_US = microseconds(LATEST_ARRIVAL)
# A new epoch may have to begin first, and then logs to be loaded.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """The messages granted, and whether other accounts may be due right now.

    `held_back`: a backlog was given no more than its turns. `curtailed`: so that the claim visited fewer
    accounts than it could have, for senders to have time for what others send. `shared`: several tenants had
    something due. `even`: they have about as many accounts due, more than the claim visited, so that nobody
    who sends little waits for the others. `held`: nothing was looked at, since the senders have enough to do.
    """

    message_ids: Sequence[UUID] = field(default=())
    more: bool = False
    held_back: bool = False
    curtailed: bool = False
    shared: bool = False
    even: bool = False
    held: bool = False

    def __bool__(self) -> bool:
        """Whether it is worth while to look again soon."""
        return bool(self.message_ids) or self.more or self.held


def claim_messages(
    *, now: datetime, at: int | None = None, most: int = ACCOUNTS_AT_ONCE, of_backlog: int | None = None
) -> Claim:
    """Visit up to `most` accounts that are due, and `of_backlog` of each tenant that has many of them.

    What is granted has a lease and has to be on its way within 5 s. `now` is PostgreSQL's time, `at` the
    limiter's in microseconds; None, as in production, is Redis's clock. Locks accounts, then messages, then
    outboxes. After a crash between the limiter's answer and the commit, an account's log is loaded anew; the
    layers above it miss those slots until they expire. One after the commit costs nothing, once the sweep has
    taken back what nobody started. Raises LimiterUnavailableError.
    """
    for last in (False,) * (_TRIES - 1) + (True,):
        try:
            with system_transaction():
                claim = _claim(most, of_backlog, now=now, at=at)
        except StaleEpochError:
            if last:
                raise
            epoch.renew(reason="Redis keeps another epoch", turns=False)
        except MissingLogsError as missing:
            if last:
                raise
            epoch.load_shared(missing.logs, now=now)
        else:
            break
    if claim.message_ids:
        log.info("messages.claimed", number=len(claim.message_ids))
    return claim


def _claim(most: int, of_backlog: int | None, *, now: datetime, at: int | None) -> Claim:
    held = epoch.hold()
    if _senders_are_behind(now=now):
        return Claim(held=True)
    blocked = blocks.read(now=now)
    if blocked.everything:
        return Claim()
    platforms = breakers.passable(connected_platforms(), now=now)
    found = due.lock_due(platforms.open, most=most, now=now, of_backlog=of_backlog)
    probes = [
        account for each in platforms.probes for account in due.lock_due([each], most=1, now=now).accounts
    ]
    round_ = _Round(held, now=now, at=at)
    granted = round_.serve([*found.accounts, *probes], blocked, probed=frozenset(platforms.probes))
    return Claim(
        message_ids=granted,
        more=found.full or round_.left_over,
        held_back=found.held_back,
        curtailed=found.curtailed,
        shared=found.shared,
        even=found.full and found.even,
    )


def _senders_are_behind(*, now: datetime) -> bool:
    """Whether so many messages are on their way that more grants would only expire."""
    most = LEASES_A_WORKER * max(1, heartbeat.live_workers(now=now))
    sending = Message.objects.filter(state=MessageState.SENDING)
    return sending.order_by()[:most].count() >= most


class _Round:
    """One claim's visits to the accounts that it has locked."""

    def __init__(self, held: Epoch, *, now: datetime, at: int | None) -> None:
        self._epoch, self._now, self._at = held, now, at
        self._tally = Tally()
        self.left_over = False

    def serve(self, accounts: Sequence[DueAccount], blocked: Blocks, *, probed: frozenset[str]) -> list[UUID]:
        """Grant what can be granted; write what became of the rest and when to come again."""
        awake = self._put_to_sleep(accounts)
        if not awake:
            return []
        # A statement of its own, after the locks: it sees whatever was enqueued before them.
        heads = queue.heads(
            [account.id for account in awake], most=MESSAGES_A_VISIT, now=self._now, blocked=blocked.users
        )
        prepared = prepare(awake, heads, now=self._now)
        for each in prepared:
            if each.account.platform in probed:
                each.keep_one()
        verdicts = self._decide(prepared, heads)
        granted = self._write(prepared, verdicts, probed)
        self._come_again(prepared, verdicts, blocked)
        # Last, since everybody meets at the outboxes' rows.
        self._tally.write()
        return granted

    def _put_to_sleep(self, accounts: Iterable[DueAccount]) -> list[DueAccount]:
        """Block the accounts that are in their quiet hours until these end. Returns the others."""
        awake: list[DueAccount] = []
        until: dict[UUID, datetime] = {}
        for account in accounts:
            ends = quiet_hours.of_account(account, now=self._now)
            if ends is None:
                awake.append(account)
            else:
                until[account.id] = ends
        due.block(until)
        return awake

    def _decide(
        self, prepared: Sequence[Prepared], heads: dict[UUID, list[Head]]
    ) -> list[tuple[Visit, Verdict]]:
        tenants = {each.account.tenant_id for each in prepared}
        users = {head.user_id for found in heads.values() for head in found}
        limits = read_limits({*tenants, *users})
        visits = [each.visit(limits) for each in prepared]
        return list(zip(visits, self._reserve(visits), strict=True))

    def _reserve(self, visits: Sequence[Visit]) -> list[Verdict]:
        if self._epoch.mode == Mode.POSTGRES:
            return sql_logs.reserve(visits, ahead=_AHEAD_US, now=self._now)
        with epoch.logs().connection() as redis:
            verdicts = redis.reserve(visits, epoch=self._epoch.number, ahead=_AHEAD_US, now=self._at)
            cold = [position for position, verdict in enumerate(verdicts) if verdict is None]
            if cold:
                asked = [visits[position] for position in cold]
                epoch.load_accounts(asked, redis, epoch=self._epoch, now=self._now)
                # Had our session ended by then, others might have granted since we read the rows.
                epoch.current()
                again = redis.reserve(asked, epoch=self._epoch.number, ahead=_AHEAD_US, now=self._at)
                for position, verdict in zip(cold, again, strict=True):
                    verdicts[position] = verdict
        decided = [verdict for verdict in verdicts if verdict is not None]
        if len(decided) < len(verdicts):
            raise LimiterUnavailableError("a log vanished as soon as it had been loaded")
        return decided

    def _write(
        self,
        prepared: Sequence[Prepared],
        verdicts: Sequence[tuple[Visit, Verdict]],
        probed: frozenset[str],
    ) -> list[UUID]:
        tally = self._tally
        grants: list[granting.Grant] = []
        postponed: dict[UUID, datetime] = {}
        for each, (_, verdict) in zip(prepared, verdicts, strict=True):
            is_probe = each.account.platform in probed
            for position in verdict.granted:
                head = each.heads[position]
                grants.append(granting.Grant(head.id, each.texts[head.id], is_probe))
            for position, refusal in verdict.refused.items():
                if refusal.log.layer == "recipient":
                    postponed[each.heads[position].id] = self._in(refusal.wait)
            postponed |= each.postponed
        granted = granting.grant(grants, tally, epoch=self._epoch.number, now=self._now)
        granting.end(
            [end for each in prepared for end in each.suppressed],
            MessageState.CANCELLED,
            tally,
            now=self._now,
        )
        granting.end(
            [end for each in prepared for end in each.unrenderable],
            MessageState.DEAD,
            tally,
            now=self._now,
        )
        granting.postpone(postponed)
        served = zip(prepared, verdicts, strict=True)
        sent_to = {each.account.platform for each, (_, verdict) in served if verdict.granted}
        for platform in sorted(probed & sent_to):
            breakers.probing(platform, now=self._now)
        return granted

    def _come_again(
        self, prepared: Sequence[Prepared], verdicts: Sequence[tuple[Visit, Verdict]], blocked: Blocks
    ) -> None:
        """Say when each account is looked at again, and block the layers above them that are exhausted."""
        refusals = []
        finished: list[UUID] = []
        at: dict[UUID, datetime | None] = {}
        slot: dict[UUID, datetime] = {}
        for each, (visit, verdict) in zip(prepared, verdicts, strict=True):
            users = [refusal for refusal in verdict.refused.values() if refusal.log.layer == "user"]
            exhausted = verdict.exhausted(visit)
            refusals += users
            if exhausted:
                refusals.append(exhausted)
            slot[each.account.id] = self._in(verdict.account_wait)
            untouched = len(visit.candidates) - len(verdict.granted) - len(verdict.refused)
            if untouched or users or each.left or each.seen == MESSAGES_A_VISIT:
                at[each.account.id] = slot[each.account.id]
                self.left_over |= not (verdict.account_wait or exhausted)
            else:
                finished.append(each.account.id)
        earliest = queue.earliest(finished, blocked=blocked.users)
        for account_id in finished:
            first = earliest.get(account_id)
            at[account_id] = first and max(first, slot[account_id])
        due.claimed(at, granted=[visit.account_id for visit, verdict in verdicts if verdict.granted])
        blocks.write(refusals, now=self._now)

    def _in(self, microseconds_from_now: int) -> datetime:
        return self._now + timedelta(microseconds=microseconds_from_now)
