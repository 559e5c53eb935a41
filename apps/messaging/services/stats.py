"""The dispatcher's figures: for a tenant's API, and for the operator's page over all tenants.

First the rows are read, in the caller's transaction, then the limiter is asked, outside of any.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Q, Sum

from apps.messaging.models import Account, Fan, Layer, Message, MessageState, Outbox
from apps.messaging.services import backlog, layers
from apps.messaging.services.backlog import Above, Backlog, Load, Outlook
from apps.messaging.services.layers import Standing, Subject
from apps.messaging.services.limits import Limits, read_limits
from apps.messaging.services.situation import Situation, read_situation
from apps.tenants.models import Membership, Tenant
from apps.tenants.system import system_transaction

# A tenant's people of whom a limit is shown.
USERS = 100


@dataclass(frozen=True, slots=True)
class AccountFigures:
    account: Account
    standing: Standing
    backlog: Backlog
    outlook: Outlook


@dataclass(frozen=True, slots=True)
class Reading:
    """What the rows say about some accounts and the layers above them."""

    situation: Situation
    accounts: Sequence[Account]
    limits: Limits
    paused_tenants: frozenset[UUID]
    backlogs: dict[UUID, Backlog]
    loads: dict[Subject, Load]

    def of_account(self, account: Account) -> Subject:
        return Subject(Layer.ACCOUNT, account.pk, self.limits.of_account(account))

    def above(self, tenant_id: UUID) -> list[Subject]:
        return above(self.limits, tenant_id)

    @property
    def subjects(self) -> list[Subject]:
        return [*map(self.of_account, self.accounts), *self.loads]

    def figures(self, standings: dict[Subject, Standing], *, now: datetime) -> list[AccountFigures]:
        """The accounts' figures, from how their layers stand."""
        found = []
        for account in self.accounts:
            standing = standings[self.of_account(account)]
            outlook = backlog.outlook(
                account,
                self.backlogs[account.pk],
                standing,
                above=[Above(standings[each], self.loads[each]) for each in self.above(account.tenant_id)],
                situation=self.situation,
                tenant_paused=account.tenant_id in self.paused_tenants,
                now=now,
            )
            found.append(AccountFigures(account, standing, self.backlogs[account.pk], outlook))
        return found


def read(accounts: Sequence[Account], *, tenant_ids: Iterable[UUID], now: datetime) -> Reading:
    """What the rows say of accounts of these tenants. More accounts cost no more statements.

    Tenants who have a limit do; layers without one cost nothing.
    """
    tenants = sorted(set(tenant_ids))
    with system_transaction():
        limits = read_limits(tenants)
        shared = {subject for tenant_id in tenants for subject in above(limits, tenant_id)}
        paused = Tenant.objects.filter(pk__in=tenants, paused_at__isnull=False)
        return Reading(
            situation=read_situation(now=now),
            accounts=accounts,
            limits=limits,
            paused_tenants=frozenset(paused.values_list("pk", flat=True)),
            backlogs=backlog.read_backlogs(accounts, now=now),
            loads=backlog.read_loads(shared),
        )


def above(limits: Limits, tenant_id: UUID) -> list[Subject]:
    """The layers above a tenant's accounts that have a limit: the tenant's, and everything's."""
    asked = ((Layer.TENANT, tenant_id), (Layer.GLOBAL, None))
    limited = ((layer, subject, limits.of_layer(layer, subject)) for layer, subject in asked)
    return [Subject(layer, subject, limit) for layer, subject, limit in limited if limit]


@dataclass(frozen=True, slots=True)
class UserSubject:
    """A member of the tenant who has a limit; `elsewhere`: their messages for other tenants count as well."""

    subject: Subject
    elsewhere: bool


def user_subjects(tenant_id: UUID) -> list[UserSubject]:
    """The tenant's people of whom a limit is in force."""
    with system_transaction():
        members = Membership.objects.filter(tenant_id=tenant_id).order_by("user_id")
        users = list(members.values_list("user_id", flat=True)[:USERS])
        limits = read_limits(users)
        limited = [(user, limits.of_layer(Layer.USER, user)) for user in users]
        tenants = Membership.objects.filter(user_id__in=users).order_by().values("user_id")
        number = dict(tenants.annotate(number=Count("pk")).values_list("user_id", "number"))
    return [
        UserSubject(Subject(Layer.USER, user, limit), elsewhere=number.get(user, 0) > 1)
        for user, limit in limited
        if limit
    ]


def recipient_subject(fan: Fan, *, platform: str) -> Subject:
    """A fan's own limit within the account."""
    with system_transaction():
        return Subject(Layer.RECIPIENT, fan.pk, read_limits([]).of_recipients(platform))


def tenant_backlog(tenant_id: UUID | None) -> dict[str, int]:
    """What a tenant, or everybody, has queued, being sent and unknown: outboxes' counters, and an index."""
    whose = Q(tenant_id=tenant_id) if tenant_id else Q()
    open_states = (MessageState.QUEUED, MessageState.SENDING, MessageState.UNKNOWN)
    boxes = Outbox.objects.filter(whose).filter(Q(queued__gt=0) | Q(sending__gt=0) | Q(unknown__gt=0))
    going = Q(cancelled_at=None, paused_at=None)
    sums = boxes.aggregate(
        may_go=Sum("queued", filter=going, default=0),
        held=Sum("queued", filter=Q(cancelled_at=None, paused_at__isnull=False), default=0),
        under_way=Sum("sending", default=0),
        in_doubt=Sum("unknown", default=0),
    )
    singles = Message.objects.filter(whose, outbox=None, state__in=open_states).order_by()
    single = dict(singles.values_list("state").annotate(number=Count("pk")))
    return {
        "queued": sums["may_go"] + single.get(MessageState.QUEUED, 0),
        "held": sums["held"],
        "sending": sums["under_way"] + single.get(MessageState.SENDING, 0),
        "unknown": sums["in_doubt"] + single.get(MessageState.UNKNOWN, 0),
    }


def standings(reading: Reading, extra: Iterable[Subject] = (), *, now: datetime) -> dict[Subject, Standing]:
    """How all layers of a reading stand. Asks the limiter: outside of any transaction."""
    return layers.standings([*reading.subjects, *extra], now=now)
