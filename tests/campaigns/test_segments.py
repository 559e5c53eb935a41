"""Which fans a segment means."""

from datetime import UTC, datetime
from typing import Any

import pytest

from apps.campaigns.segments import fans_filter
from apps.common.errors import InvalidInputError
from apps.messaging.models import Account, Fan
from apps.tenants.system import system_transaction
from tests import factories


def chosen(segment: dict[str, Any]) -> set[str]:
    with system_transaction():
        return set(Fan.objects.filter(fans_filter(segment)).values_list("name", flat=True))


@pytest.fixture
def fans(account: Account) -> None:
    factories.fan(account=account, name="Big", spend="500", attributes={"vip": True, "city": "Oslo"})
    factories.fan(account=account, name="Small", spend="5", attributes={"vip": True})
    factories.fan(account=account, name="Lapsed", last_purchase_at=datetime(2020, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("segment", "names"),
    [
        ({}, {"Big", "Small", "Lapsed"}),
        ({"include": {"spend": {"gte": "50"}}}, {"Big"}),
        ({"include": {"spend": {"gt": "0", "lt": "500"}}}, {"Small"}),
        ({"include": {"spend": "5"}}, {"Small"}),
        ({"include": {"attributes": {"vip": True}}}, {"Big", "Small"}),
        ({"include": {"attributes": {"vip": True}}, "exclude": {"attributes": {"city": "Oslo"}}}, {"Small"}),
        ({"exclude": {"attributes": {"vip": True}}}, {"Lapsed"}),
        ({"include": {"last_purchase_at": {"lt": "2021-01-01T00:00:00Z"}}}, {"Lapsed"}),
        # Those who never bought have no last purchase to compare: an exclusion by it leaves them in.
        ({"exclude": {"last_purchase_at": {"lt": "2021-01-01T00:00:00Z"}}}, {"Big", "Small"}),
    ],
)
@pytest.mark.django_db
@pytest.mark.usefixtures("fans")
def test_a_segment_means_its_fans(segment: dict[str, Any], names: set[str]) -> None:
    assert chosen(segment) == names


@pytest.mark.parametrize(
    ("segment", "where"),
    [
        ([], "segment"),
        ({"includes": {}}, "segment"),
        ({"include": []}, "segment.include"),
        ({"include": {"age": 3}}, "segment.include"),
        ({"include": {"spend": {"about": 3}}}, "segment.include.spend"),
        ({"include": {"spend": {"gte": "much"}}}, "segment.include.spend.gte"),
        ({"include": {"spend": {"gte": "NaN"}}}, "segment.include.spend.gte"),
        ({"include": {"spend": {"gte": "1e400"}}}, "segment.include.spend.gte"),
        ({"exclude": {"last_purchase_at": {"lt": "yesterday"}}}, "segment.exclude.last_purchase_at.lt"),
        (
            {"exclude": {"last_purchase_at": {"lt": "2021-02-30T00:00:00Z"}}},
            "segment.exclude.last_purchase_at.lt",
        ),
        ({"exclude": {"attributes": "vip"}}, "segment.exclude.attributes"),
    ],
)
def test_a_segment_that_makes_no_sense_says_where(segment: Any, where: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        fans_filter(segment)
    assert list(refusal.value.fields) == [where]
