"""What a claim makes of an account's head before it asks the limiter: who can be written to, and what."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from apps.messaging.limiter.rules import Candidate, Rule, Visit, to_stamp
from apps.messaging.services import quiet_hours
from apps.messaging.services.due import DueAccount
from apps.messaging.services.granting import End
from apps.messaging.services.limits import Limits
from apps.messaging.services.queue import Head
from apps.messaging.services.rendering import RenderError, render

_WORDS = """
SELECT message.id, template.body, fan.name, fan.external_id, fan.attributes, account.name
FROM messaging_message message
JOIN messaging_messagetemplate template ON template.id = message.template_id
JOIN messaging_fan fan ON fan.id = message.fan_id
JOIN messaging_account account ON account.id = message.account_id
WHERE message.id = ANY(%s)
"""

# What a fan has got or may have got, each once. An attempt that the platform refused is neither.
_LATELY_WRITTEN = """
SELECT message.fan_id, message.newest_slot FROM messaging_message message
WHERE message.fan_id = ANY(%s) AND message.outbox_id IS NOT NULL AND message.newest_slot > %s
  AND (message.state IN ('sending', 'unknown', 'sent') OR message.reason = 'outcome_unknown')
"""


@dataclass(slots=True)
class Prepared:
    """An account's head: what may go, what ends here, what waits until when."""

    account: DueAccount
    seen: int
    texts: dict[UUID, str | None] = field(default_factory=dict)
    heads: list[Head] = field(default_factory=list)
    suppressed: list[End] = field(default_factory=list)
    unrenderable: list[End] = field(default_factory=list)
    postponed: dict[UUID, datetime] = field(default_factory=dict)
    # Passed over, to be looked at again as soon as the others are on their way.
    left: bool = False

    def keep_one(self) -> None:
        """Let the first candidate alone go."""
        self.left |= len(self.heads) > 1
        del self.heads[1:]

    def visit(self, limits: Limits) -> Visit:
        """The question to the limiter."""
        platform = self.account.platform
        candidates = [
            Candidate(
                message_id=head.id,
                attempt=head.attempt + 1,
                own=limits.own_logs(platform=platform, user_id=head.user_id, fan_id=head.fan_id),
            )
            for head in self.heads
        ]
        return Visit(self.account.id, limits.shared_logs(self.account), candidates, self.account.claims)


def prepare(
    accounts: Sequence[DueAccount], heads: Mapping[UUID, Sequence[Head]], *, now: datetime
) -> list[Prepared]:
    """Sort out the heads of locked accounts. Nothing is written yet."""
    words = _render(head for found in heads.values() for head in found)
    capped = [account for account in accounts if account.fan_cap_count or account.fan_gap_seconds]
    lately = _lately_written(capped, heads, now=now)
    return [_sort(account, heads[account.id], words, lately, now=now) for account in accounts]


def _sort(
    account: DueAccount,
    heads: Sequence[Head],
    words: Mapping[UUID, str | RenderError],
    lately: Mapping[UUID, list[int]],
    *,
    now: datetime,
) -> Prepared:
    prepared = Prepared(account, seen=len(heads))
    capped: set[UUID] = set()
    for head in heads:
        if not head.consent:
            prepared.suppressed.append(End(head.id, reason="suppressed"))
            continue
        asleep_until = quiet_hours.of_fan(account, zone=head.time_zone, now=now)
        if until := asleep_until or _cap_ends(account, head, lately, now=now):
            prepared.postponed[head.id] = until
            continue
        if head.outbox_id and (account.fan_cap_count or account.fan_gap_seconds):
            # What this visit itself sends to the fan isn't counted yet.
            if head.fan_id in capped:
                prepared.left = True
                continue
            capped.add(head.fan_id)
        text = words.get(head.id)
        if isinstance(text, RenderError):
            prepared.unrenderable.append(End(head.id, reason=text.code, error=text.message))
            continue
        prepared.heads.append(head)
        prepared.texts[head.id] = text
    return prepared


def _render(heads: Iterable[Head]) -> dict[UUID, str | RenderError]:
    """The texts of those that have none yet, or why there is none."""
    unwritten = [head.id for head in heads if head.text is None]
    if not unwritten:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_WORDS, [unwritten])
        return {
            message_id: _text(body, _Addressee(name, external_id, json.loads(attributes)), account_name)
            for message_id, body, name, external_id, attributes, account_name in cursor.fetchall()
        }


@dataclass(frozen=True, slots=True)
class _Addressee:
    name: str
    external_id: str
    attributes: dict[str, Any]


def _text(body: str, fan: _Addressee, account_name: str) -> str | RenderError:
    try:
        return render(body, fan=fan, account_name=account_name)
    except RenderError as error:
        return error


def _cap_rules(account: DueAccount) -> list[Rule]:
    rules = []
    if account.fan_cap_count and account.fan_cap_seconds:
        rules.append(Rule(account.fan_cap_count, account.fan_cap_seconds * 1_000_000))
    if account.fan_gap_seconds:
        rules.append(Rule(1, account.fan_gap_seconds * 1_000_000))
    return rules


def _lately_written(
    accounts: Sequence[DueAccount], heads: Mapping[UUID, Sequence[Head]], *, now: datetime
) -> dict[UUID, list[int]]:
    """When campaigns wrote to the fans of accounts that limit that, newest first."""
    fans = [head.fan_id for account in accounts for head in heads[account.id] if head.outbox_id]
    if not fans:
        return {}
    longest = max(rule.window for account in accounts for rule in _cap_rules(account))
    found: dict[UUID, list[int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_LATELY_WRITTEN, [fans, now - timedelta(microseconds=longest)])
        for fan_id, slot in cursor.fetchall():
            found.setdefault(fan_id, []).append(to_stamp(slot))
    return {fan_id: sorted(stamps, reverse=True) for fan_id, stamps in found.items()}


def _cap_ends(
    account: DueAccount, head: Head, lately: Mapping[UUID, list[int]], *, now: datetime
) -> datetime | None:
    """When the fan may be written to again by a campaign; None if that is now."""
    if not head.outbox_id:
        return None
    stamps = lately.get(head.fan_id, [])
    rules = [rule for rule in _cap_rules(account) if len(stamps) >= rule.count]
    wait = max((stamps[rule.count - 1] + rule.window - to_stamp(now) for rule in rules), default=0)
    return now + timedelta(microseconds=wait) if wait > 0 else None
