from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from apps.common.ids import uuid7
from apps.flags.rollout import Flags, is_rolled_out

NAMES = st.text(min_size=1, max_size=20)
PERCENT = st.integers(0, 100)


@given(NAMES, st.uuids(), PERCENT, PERCENT)
def test_raising_the_percentage_takes_a_feature_from_nobody(
    name: str, tenant: UUID, one: int, other: int
) -> None:
    low, high = sorted((one, other))
    assert is_rolled_out(name, tenant, high) >= is_rolled_out(name, tenant, low)


@given(NAMES, st.uuids())
def test_none_is_nobody_and_a_hundred_everybody(name: str, tenant: UUID) -> None:
    assert not is_rolled_out(name, tenant, 0)
    assert is_rolled_out(name, tenant, 100)


def test_a_percentage_is_about_that_share_of_the_tenants() -> None:
    tenants = [UUID(int=number) for number in range(4000)]
    for percent in (10, 50, 90):
        on = sum(is_rolled_out("a-feature", tenant, percent) for tenant in tenants)
        assert abs(on / 40 - percent) < 3


def test_a_tenants_place_stays_and_is_another_on_each_flag() -> None:
    tenant = UUID("0199f000-0000-7000-8000-000000000001")
    assert [is_rolled_out("hybrid_orchestrator", tenant, percent) for percent in (25, 26)] == [False, True]
    on = {name for name in map(str, range(100)) if is_rolled_out(name, tenant, 50)}
    assert 30 < len(on) < 70


def test_a_tenants_own_setting_wins_and_an_unknown_flag_is_what_the_caller_says() -> None:
    ada, eve = uuid7(), uuid7()
    flags = Flags({"new": 0, "old": 100}, {("new", ada): True, ("old", ada): False})

    assert flags.is_enabled("new", ada, default=False)
    assert not flags.is_enabled("old", ada, default=True)
    assert not flags.is_enabled("new", eve, default=True)
    assert flags.is_enabled("old", eve, default=False)
    assert [flags.is_enabled("missing", ada, default=default) for default in (True, False)] == [True, False]
