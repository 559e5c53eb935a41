"""Random kills while messages go out: the platform's ledger knows no loss, no double, no window too full."""

from collections.abc import Iterator

import pytest

from tests.resilience.conftest import Ravage
from tests.resilience.hosts import Site, running_site
from tests.services import HOME

pytestmark = pytest.mark.long

VICTIMS = (
    *("worker", "worker", "cut", "cut", "drop", "drop", "drop"),
    *("redis", "rewind", "flush", "flush", "postgres"),
)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with running_site(HOME / "chaos") as site:
        yield site


def test_random_kills_lose_and_double_nothing(site: Site, ravage: Ravage) -> None:
    """On a platform that ignores keys; of every fifth account it can't even say what has arrived."""
    rampage = ravage(site, accounts=50, messages=40, seconds=5, silent_every=5)
    site.platform.faults(*rampage.fault_rules(), honour_keys=False)
    rampage.run(VICTIMS)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("honour_keys", [True, False])
def test_random_kills_under_the_real_limit_lose_and_double_nothing(
    site: Site, ravage: Ravage, honour_keys: bool
) -> None:
    """The platform that honours keys answers all look-ups."""
    rampage = ravage(site, accounts=50, messages=40, seconds=60, silent_every=0 if honour_keys else 3)
    site.platform.faults(*rampage.fault_rules(), honour_keys=honour_keys)
    rampage.run(2 * VICTIMS)


@pytest.mark.soak
def test_after_a_long_outage_of_redis_dispatch_goes_on_at_once(site: Site, ravage: Ravage) -> None:
    """Redis is the broker as well: everything waits for it, and nobody waits longer."""
    rampage = ravage(site, accounts=12, messages=60, seconds=5)
    site.platform.faults(*rampage.fault_rules(), honour_keys=False)
    rampage.run(["outage"])
