"""The people that messages go to."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from apps.common.constraints import violated
from apps.common.errors import ConflictError
from apps.messaging.models import Account, Fan


def create_fan(
    *,
    account: Account,
    external_id: str,
    name: str,
    attributes: dict[str, Any],
    spend: Decimal,
    last_purchase_at: datetime | None,
    consent: bool,
    time_zone: str = "",
) -> Fan:
    """Add a fan to an account. Raises ConflictError if it has one with this external id."""
    try:
        with transaction.atomic():
            return Fan.objects.create(
                tenant_id=account.tenant_id,
                account=account,
                external_id=external_id,
                name=name,
                attributes=attributes,
                spend=spend,
                last_purchase_at=last_purchase_at,
                consent=consent,
                time_zone=time_zone,
            )
    except IntegrityError as error:
        if violated(error) != "fan_unique":
            raise
        raise ConflictError(f"This account has a fan “{external_id}” already.", code="fan_exists") from None
