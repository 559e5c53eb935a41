"""Revenue as somebody who knows tells it: each entry once, however often it is told."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from apps.analytics.models import RevenueEntry
from apps.campaigns.models import Campaign
from apps.common.errors import ConflictError, InvalidInputError, NotFoundError
from apps.messaging.models import Account, MessageRecord

AT_ONCE = 1000


class ToldOtherwiseError(ConflictError):
    """An entry of this external id is there, and says something else."""

    code = "revenue_told_otherwise"


@dataclass(frozen=True, slots=True)
class Told:
    """An entry as it is told. Without a campaign, it is its message's, if it has one."""

    external_id: str
    account_id: UUID
    occurred_at: datetime
    amount: Decimal
    kind: str
    campaign_id: UUID | None = None
    message_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """How many were new, and how many were known already, the same."""

    created: int
    known: int


_COLUMNS = [field.name for field in fields(Told)]


def record_revenue(*, tenant_id: UUID, told: Sequence[Told]) -> Taken:
    """Enter what isn't there yet, all of it or nothing, in the caller's transaction (the tenant's).

    Raises NotFoundError for an account, campaign or message that the tenant doesn't have, InvalidInputError,
    ToldOtherwiseError; their fields name the place, such as `entries.3.campaign`.
    """
    _refuse_twins(told)
    before = RevenueEntry.objects.filter(
        tenant_id=tenant_id, external_id__in=[each.external_id for each in told]
    )
    known = {each.external_id: each for each in before}
    told = _with_campaigns(told, known)
    _refuse_strangers(told)
    fresh = [each for each in told if each.external_id not in known]
    # In one order everywhere: two who tell the same at once wait for each other in no circle.
    rows = [
        RevenueEntry(tenant_id=tenant_id, **{name: getattr(each, name) for name in _COLUMNS})
        for each in sorted(fresh, key=lambda each: each.external_id)
    ]
    RevenueEntry.objects.bulk_create(rows, ignore_conflicts=True)
    stored = {each.external_id: each for each in before.all()}
    for at, each in enumerate(told):
        _refuse_otherwise(at, each, stored[each.external_id])
    ours = {row.pk for row in rows}
    created = sum(each.pk in ours for each in stored.values())
    return Taken(created=created, known=len(told) - created)


def _refuse_twins(told: Sequence[Told]) -> None:
    seen: dict[str, int] = {}
    for at, each in enumerate(told):
        if each.external_id in seen:
            text = (
                f"“{each.external_id}” is also that of entry {seen[each.external_id]}: name each entry once."
            )
            raise InvalidInputError(text, fields={f"entries.{at}.external_id": text})
        seen[each.external_id] = at


def _with_campaigns(told: Sequence[Told], known: Mapping[str, RevenueEntry]) -> list[Told]:
    """Each with its message's campaign. A message has to be of the account, and of a campaign given.

    Where it has left the archive, what was told of it before still holds.
    """
    ids = [each.message_id for each in told if each.message_id]
    rows = MessageRecord.objects.filter(pk__in=ids).values_list("pk", "account_id", "outbox__campaign_id")
    messages = {pk: (account, campaign) for pk, account, campaign in rows} if ids else {}
    found = []
    for at, each in enumerate(told):
        campaign_id = each.campaign_id
        if each.message_id:
            account, of_message = messages.get(each.message_id) or _as_before(each, known)
            if account != each.account_id:
                raise _missing(at, "message", "This account has no such message.")
            if campaign_id not in (None, of_message):
                raise _missing(at, "campaign", "The message isn't of this campaign.")
            campaign_id = of_message
        values = {name: getattr(each, name) for name in _COLUMNS}
        found.append(Told(**{**values, "campaign_id": campaign_id}))
    return found


def _as_before(told: Told, known: Mapping[str, RevenueEntry]) -> tuple[UUID | None, UUID | None]:
    """Account and campaign of an entry's message as they were when the same was told before."""
    stored = known.get(told.external_id)
    if stored is None or stored.message_id != told.message_id:
        return None, None
    return stored.account_id, stored.campaign_id


def _refuse_strangers(told: Sequence[Told]) -> None:
    """Row-level security hides what is another tenant's."""
    accounts = _there(Account, {each.account_id for each in told})
    campaigns = _there(Campaign, {each.campaign_id for each in told if each.campaign_id})
    for at, each in enumerate(told):
        if each.account_id not in accounts:
            raise _missing(at, "account", "There is no such account.")
        if each.campaign_id and each.campaign_id not in campaigns:
            raise _missing(at, "campaign", "There is no such campaign.")


def _there(model: type[Account] | type[Campaign], ids: Collection[UUID]) -> set[UUID]:
    return set(model._default_manager.filter(pk__in=ids).values_list("pk", flat=True)) if ids else set()


def _missing(at: int, field: str, text: str) -> NotFoundError:
    return NotFoundError(f"Entry {at}: {text}", fields={f"entries.{at}.{field}": text})


def _refuse_otherwise(at: int, told: Told, stored: RevenueEntry) -> None:
    differing = [name for name in _COLUMNS if getattr(told, name) != getattr(stored, name)]
    if differing:
        text = (
            f"“{told.external_id}” was told before with another {differing[0].removesuffix('_id')}; an entry"
            " isn't changed. Tell a refund, or use another external_id."
        )
        raise ToldOtherwiseError(text, fields={f"entries.{at}.{differing[0].removesuffix('_id')}": text})
