"""The limits in force: which logs a message needs a slot of."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.db import connection

from apps.messaging.limiter.rules import Limit, Log
from apps.messaging.models import Layer

_IN_FORCE = """
SELECT layer, platform, subject_id, count, seconds, min_gap_ms FROM messaging_sendlimit
WHERE subject_id IS NULL OR subject_id = ANY(%s::uuid[])
"""


class Limited(Protocol):
    """What of an account its limit depends on."""

    @property
    def id(self) -> UUID: ...
    @property
    def tenant_id(self) -> UUID: ...
    @property
    def platform(self) -> str: ...
    @property
    def limit_count(self) -> int | None: ...
    @property
    def limit_seconds(self) -> int | None: ...
    @property
    def min_gap_ms(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """The rows of SendLimit that may matter, and what holds where there is none."""

    rows: dict[tuple[str, str, UUID | None], Limit]
    # Read once: each look at the settings costs as much as a message's other look-ups together.
    usual: Limit

    def of_account(self, account: Limited) -> Limit:
        """Its own, or its platform's, or the settings' limit."""
        if account.limit_count and account.limit_seconds:
            return Limit(account.limit_count, account.limit_seconds, account.min_gap_ms)
        default = self.of_accounts(account.platform)
        return Limit(default.count, default.seconds, account.min_gap_ms or default.min_gap_ms)

    def of_accounts(self, platform: str) -> Limit:
        """That of each account of a platform that has none of its own."""
        return self._default(Layer.ACCOUNT, platform)

    def of_recipients(self, platform: str) -> Limit:
        """That of each recipient of a platform's account."""
        return self._default(Layer.RECIPIENT, platform)

    def longest_of_accounts(self) -> float:
        """The longest window of the accounts that have no limit of their own, in seconds."""
        rows = [limit.seconds for (layer, _, _), limit in self.rows.items() if layer == Layer.ACCOUNT]
        return max([settings.SEND_LIMIT_SECONDS, *rows])

    def account_log(self, account: Limited) -> Log:
        return Log(Layer.ACCOUNT.value, account.id, self.of_account(account).rules)

    def shared_logs(self, account: Limited) -> tuple[Log, ...]:
        """The logs that all messages of an account need, the account's own being the last."""
        above = (
            self._log(Layer.GLOBAL, None),
            self._log(Layer.TENANT, account.tenant_id),
        )
        return (*(log for log in above if log), self.account_log(account))

    def logs(self, account: Limited, *, user_id: UUID | None, fan_id: UUID) -> tuple[Log, ...]:
        """All logs that a message needs a slot of; the account's is the first."""
        *above, of_account = self.shared_logs(account)
        return (of_account, *above, *self.own_logs(platform=account.platform, user_id=user_id, fan_id=fan_id))

    def own_logs(self, *, platform: str, user_id: UUID | None, fan_id: UUID) -> tuple[Log, ...]:
        """The logs that only some messages of an account need."""
        recipient = Log(Layer.RECIPIENT.value, fan_id, self.of_recipients(platform).rules)
        user = self._log(Layer.USER, user_id) if user_id else None
        return (user, recipient) if user else (recipient,)

    def _default(self, layer: Layer, platform: str) -> Limit:
        return self.rows.get((layer, platform, None)) or self.rows.get((layer, "", None)) or self.usual

    def of_layer(self, layer: Layer, subject_id: UUID | None) -> Limit | None:
        """A user's, a tenant's or the global limit, if there is one."""
        return self.rows.get((layer, "", subject_id)) or self.rows.get((layer, "", None))

    def _log(self, layer: Layer, subject_id: UUID | None) -> Log | None:
        limit = self.of_layer(layer, subject_id)
        return Log(layer.value, subject_id, limit.rules) if limit else None


def read_limits(subject_ids: Iterable[UUID | None]) -> Limits:
    """What is in force for these tenants and users, as the transaction sees it."""
    with connection.cursor() as cursor:
        cursor.execute(_IN_FORCE, [[each for each in set(subject_ids) if each]])
        return Limits(
            {
                (layer, platform, subject_id): Limit(count, seconds, gap)
                for layer, platform, subject_id, count, seconds, gap in cursor.fetchall()
            },
            usual=Limit(settings.SEND_LIMIT_COUNT, settings.SEND_LIMIT_SECONDS),
        )
