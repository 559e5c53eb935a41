from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apps.common.errors import InvalidInputError, NotFoundError
from apps.common.ids import uuid7
from apps.costs.models import Budget, BudgetPeriod
from apps.costs.services.budgets import change_budget, create_budget, set_thresholds
from apps.costs.thresholds import MOST, threshold_problem
from apps.tenants.doors import tenant_transaction
from apps.tenants.models import Tenant

WRONG = [
    ([0], "from 1 to 1000, which 0 isn't"),
    ([50, 1001], "from 1 to 1000, which 1001 isn't"),
    ([-5], "which -5 isn't"),
    ([80, 50, 80], "80 % is given twice"),
    (list(range(1, MOST + 2)), "At most 20 thresholds, not 21"),
]


@pytest.mark.parametrize(("percentages", "words"), WRONG)
def test_what_can_be_no_thresholds_is_said(percentages: list[int], words: str) -> None:
    assert words in threshold_problem(percentages)


@given(st.sets(st.integers(1, 1000), max_size=MOST))
def test_any_percentages_will_do_in_any_order(percentages: set[int]) -> None:
    assert threshold_problem(list(percentages)) == ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("percentages", "words"), WRONG)
def test_no_budget_gets_others(agency: Tenant, percentages: list[int], words: str) -> None:
    now = timezone.now()
    with pytest.raises(InvalidInputError, match=words) as refused:
        create_budget(tenant_id=agency.pk, limit=Decimal(1), thresholds=percentages, now=now)
    assert list(refused.value.fields) == ["thresholds"]
    row = create_budget(tenant_id=agency.pk, limit=Decimal(1), thresholds=[1000, 1], now=now)
    assert row.thresholds == [1, 1000]
    with pytest.raises(InvalidInputError):
        change_budget(budget=row, thresholds=percentages, now=now)
    with pytest.raises(InvalidInputError):
        set_thresholds(tenant_id=agency.pk, thresholds=percentages, now=now)
    with pytest.raises(ValidationError, match=words):
        Budget(tenant_id=agency.pk, limit=Decimal(1), thresholds=percentages).clean_fields()


def thresholds_of(tenant: Tenant) -> list[list[int]]:
    with tenant_transaction(tenant):
        return list(Budget.objects.order_by("id").values_list("thresholds", flat=True))


@pytest.mark.django_db(transaction=True)
def test_thresholds_are_set_for_one_budget_or_all_of_a_tenant(agency: Tenant, stranger: Tenant) -> None:
    now = timezone.now()
    day, week, hers = (
        create_budget(tenant_id=tenant.pk, limit=Decimal(1), period=period, now=now)
        for tenant, period in (
            (agency, BudgetPeriod.DAY),
            (agency, BudgetPeriod.WEEK),
            (stranger, BudgetPeriod.DAY),
        )
    )

    assert set_thresholds(tenant_id=agency.pk, thresholds=[90, 10], now=now) == 2
    assert set_thresholds(tenant_id=agency.pk, thresholds=[], now=now, budget_id=week.pk) == 1

    assert thresholds_of(agency) == [[10, 90], []]
    for other in (hers.pk, uuid7()):
        with pytest.raises(NotFoundError):
            set_thresholds(tenant_id=agency.pk, thresholds=[1], now=now, budget_id=other)
    assert thresholds_of(stranger) == [[50, 80, 100]]
    assert day.pk != week.pk
