"""Rows for tests, made through the system's door so that they are as valid as any."""

from datetime import datetime
from functools import cache
from itertools import count
from typing import Any

from django.contrib.auth.hashers import make_password
from django.utils import timezone

from apps.ai.models import Deployment, ModelClass, Provider
from apps.campaigns.models import Campaign, CampaignAccount, CampaignType
from apps.common.ids import uuid7
from apps.costs.models import Price
from apps.messaging.models import Account, Fan, Message, Outbox, SendLimit
from apps.tenants.models import Membership, Role, Tenant, User
from apps.tenants.system import system_transaction

_numbers = count(1)
# Argon2 takes a fifth of a second, on purpose: once for each password.
_hashed = cache(make_password)


def tenant(**fields: Any) -> Tenant:
    with system_transaction():
        return Tenant.objects.create(**{"name": f"Agency {next(_numbers)}", **fields})


def user(*, tenant: Tenant | None = None, role: Role = Role.OWNER, **fields: Any) -> User:
    defaults = {"email": f"person{next(_numbers)}@example.com", "password": "a long password"}
    values = {**defaults, **fields}
    values["password"] = _hashed(values["password"])
    with system_transaction():
        person = User.objects.create(**values)
        if tenant:
            Membership.objects.create(tenant=tenant, user=person, role=role)
        return person


def account(*, tenant: Tenant, **fields: Any) -> Account:
    number = next(_numbers)
    defaults = {
        "external_id": f"creator-{number}",
        "name": f"Creator {number}",
        "credential": "a token",
        "limit_count": 10,
        "limit_seconds": 60,
    }
    with system_transaction():
        return Account.objects.create(tenant_id=tenant.pk, **{**defaults, **fields})


def fan(*, account: Account, **fields: Any) -> Fan:
    return fans(1, account=account, **fields)[0]


def fans(number: int, *, account: Account, **fields: Any) -> list[Fan]:
    rows = []
    for _ in range(number):
        index = next(_numbers)
        defaults = {"external_id": f"fan-{index}", "name": f"Fan {index}"}
        rows.append(Fan(tenant_id=account.tenant_id, account=account, **{**defaults, **fields}))
    with system_transaction():
        return Fan.objects.bulk_create(rows)


def outbox(*, tenant: Tenant, **fields: Any) -> Outbox:
    with system_transaction():
        return Outbox.objects.create(tenant_id=tenant.pk, **{"campaign_id": uuid7(), **fields})


def message(*, fan: Fan, now: datetime | None = None, **fields: Any) -> Message:
    """A single queued message, not yet due anywhere: `next_due` of its account is left alone."""
    defaults = {"text": "Hello", "not_before": now or timezone.now()}
    with system_transaction():
        return Message.objects.create(
            tenant_id=fan.tenant_id, account_id=fan.account_id, fan=fan, **{**defaults, **fields}
        )


def price(*, provider: str = "openai", model: str = "gpt-3.5-turbo", **fields: Any) -> Price:
    defaults = {
        "input_per_million": "0.5",
        "output_per_million": "1.5",
        "starts_at": datetime(2020, 1, 1, tzinfo=timezone.get_default_timezone()),
    }
    with system_transaction():
        return Price.objects.create(provider=provider, model=model, **{**defaults, **fields})


def deployment(**fields: Any) -> Deployment:
    defaults = {
        "name": f"deployment-{next(_numbers)}",
        "provider": Provider.OPENAI,
        "model": "gpt-3.5-turbo",
        "model_class": ModelClass.STANDARD,
    }
    with system_transaction():
        return Deployment.objects.create(**{**defaults, **fields})


def campaign(*, tenant: Tenant, accounts: list[Account], **fields: Any) -> Campaign:
    defaults = {"name": "Summer", "type": CampaignType.MASS_MESSAGE, "brief": "A new set of photographs."}
    with system_transaction():
        box = Outbox.objects.create(tenant_id=tenant.pk)
        row = Campaign.objects.create(tenant_id=tenant.pk, outbox=box, **{**defaults, **fields})
        Outbox.objects.filter(pk=box.pk).update(campaign_id=row.pk)
        for each in accounts:
            CampaignAccount.objects.create(tenant_id=tenant.pk, campaign=row, account=each)
        return row


def send_limit(**fields: Any) -> SendLimit:
    with system_transaction():
        return SendLimit.objects.create(**fields)
