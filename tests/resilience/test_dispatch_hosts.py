"""Several machines: hosts that are cut off, a broker that is killed, a limiter that is lost."""

import time
from collections.abc import Iterator

import pytest

from apps.messaging.timing import SEND_WITHIN
from tests.live import query
from tests.resilience import rabbit
from tests.resilience.conftest import Ravage
from tests.resilience.hosts import Host, Site, running_site
from tests.resilience.recovery import HELD_SECONDS
from tests.services import HOME
from tests.waiting import wait_until

pytestmark = pytest.mark.long

VICTIMS = ("rabbitmq", "worker", "cut", "drop")
ON_RABBITMQ = pytest.mark.skipif(
    rabbit.MISSING, reason="THIS MACHINE HAS NO rabbitmq-server AND epmd TO RUN A NODE OF THE TEST'S OWN"
)
# What the design gives the turn to PostgreSQL and back, with a tick to notice it.
TURN_SECONDS = 2 + 3
RETURN_SECONDS = 10 + 5


@pytest.fixture(scope="module")
def on_rabbitmq() -> Iterator[Site]:
    with (
        rabbit.rabbit_node(HOME / "rabbitmq-node") as node,
        running_site(HOME / "hosts", node=node) as site,
    ):
        yield site


@pytest.fixture(scope="module")
def on_redis() -> Iterator[Site]:
    with running_site(HOME / "hosts-redis") as site:
        yield site


@ON_RABBITMQ
def test_a_killed_broker_loses_and_doubles_nothing(on_rabbitmq: Site, ravage: Ravage) -> None:
    rampage = ravage(on_rabbitmq, accounts=12, messages=40, seconds=5)
    on_rabbitmq.platform.faults(*rampage.fault_rules(), honour_keys=True)
    rampage.run(VICTIMS)


@pytest.mark.soak
@pytest.mark.timeout(900)
@ON_RABBITMQ
def test_a_broker_killed_under_the_real_limit_loses_and_doubles_nothing(
    on_rabbitmq: Site, ravage: Ravage
) -> None:
    rampage = ravage(on_rabbitmq, accounts=50, messages=40, seconds=60, silent_every=3)
    on_rabbitmq.platform.faults(*rampage.fault_rules(), honour_keys=False)
    rampage.run((*VICTIMS, *VICTIMS, "flush", "redis", "postgres"))


@pytest.mark.parametrize(
    "name",
    [pytest.param("on_rabbitmq", marks=ON_RABBITMQ), pytest.param("on_redis", marks=pytest.mark.soak)],
)
def test_a_host_that_is_cut_off_stops_and_comes_back(
    name: str, ravage: Ravage, request: pytest.FixtureRequest
) -> None:
    site: Site = request.getfixturevalue(name)
    rampage = ravage(site, accounts=12, messages=100, seconds=3)
    site.platform.faults(*rampage.fault_rules(), honour_keys=False)
    victim, *others = site.hosts

    def carries_alone() -> None:
        """Have the others cut off until the victim has sent something: who gets a batch is chance."""
        before = victim.gateway.carried
        for host in others:
            host.cut()
        try:
            wait_until(lambda: victim.gateway.carried > before, seconds=30, what="a message of the host's")
        finally:
            for host in others:
                host.heal()

    carries_alone()
    rampage.monkey.strike("cut", host=victim)
    # What it had begun may still be written.
    allowed = time.monotonic() + SEND_WITHIN.total_seconds() + 1
    wait_until(lambda: time.monotonic() > allowed, seconds=20, what="the end of its time to send")
    at_rest = victim.gateway.carried
    seen = len(rampage.ledger)
    wait_until(lambda: len(rampage.ledger) >= seen + 100, seconds=20, what="messages of the other hosts")
    # None of them may still have to wait when the others are cut off, too.
    [blow] = rampage.monkey.blows
    wait_until(
        lambda: blow.waiting <= {each.account for each in rampage.ledger.arrivals() if each.at > blow.at},
        seconds=60,
        what="a message of each account's",
    )
    assert victim.gateway.carried == at_rest, "a host that is cut off still sends"

    victim.heal()
    carries_alone()
    rampage.wait_until_over()
    rampage.judge()


@ON_RABBITMQ
def test_a_batch_that_is_delivered_again_while_it_is_sent_doubles_nothing(
    on_rabbitmq: Site, ravage: Ravage
) -> None:
    """RabbitMQ hands a task on as soon as the connection of whom it gave it to is lost."""
    rampage = ravage(on_rabbitmq, accounts=12, messages=20, seconds=3)
    slowly = {"operation": "send", "latency": {"distribution": "constant", "ms": 2000}}
    on_rabbitmq.platform.faults(slowly, honour_keys=False)
    for number in range(2):
        wait_until(
            lambda: len(rampage.ledger) > 120 * number,  # noqa: B023 -- asked at once
            seconds=20,
            what="a batch on its way",
            every=0.02,
        )
        for host in on_rabbitmq.hosts:
            host.broker.drop()
    rampage.wait_until_over()
    rampage.judge()


@pytest.mark.soak
@ON_RABBITMQ
def test_a_host_cut_off_in_the_middle_of_a_claim_keeps_nobody_waiting(
    on_rabbitmq: Site, ravage: Ravage
) -> None:
    """PostgreSQL doesn't notice that it has gone: its locks are on accounts, and on the limiter's epoch."""
    rampage = ravage(on_rabbitmq, accounts=12, messages=80, seconds=3)
    on_rabbitmq.platform.faults(*rampage.fault_rules(), honour_keys=False)
    victim = on_rabbitmq.hosts[0]
    victim.redis.block()  # a claim waits for it in the middle
    wait_until(lambda: is_claiming(on_rabbitmq, victim), seconds=30, what="a claim of the host's", every=0.01)
    victim.cut()
    cut_at = time.time()
    assert is_claiming(on_rabbitmq, victim), "the claim was over before the host was cut off"

    on_rabbitmq.flush_redis()  # so that no other claim succeeds before a new epoch
    waiting = rampage.backlog.waiting()
    # Nothing that was granted before arrives as late as this.
    late = cut_at + SEND_WITHIN.total_seconds()
    wait_until(
        lambda: waiting <= {each.account for each in rampage.ledger.arrivals() if each.at > late},
        seconds=HELD_SECONDS + rampage.backlog.seconds,
        what="messages of all accounts",
    )
    victim.heal()
    rampage.wait_until_over()
    rampage.judge()


def is_claiming(site: Site, host: Host) -> bool:
    """Whether the host has a transaction open in which it waits for something else than PostgreSQL."""
    waits = """
    SELECT FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE application_name = %s AND state = 'idle in transaction' AND locktype = 'advisory' AND granted
      AND state_change < clock_timestamp() - interval '30 ms'
    """
    return bool(query(site.services, waits, host.name))


@ON_RABBITMQ
def test_while_the_broker_answers_nobody_messages_go_on(on_rabbitmq: Site, ravage: Ravage) -> None:
    """It takes what is sent and confirms nothing, as with a full disk; no connection is lost."""
    rampage = ravage(on_rabbitmq, accounts=12, messages=80, seconds=3)
    on_rabbitmq.platform.faults(*rampage.fault_rules(), honour_keys=False)
    wait_until(lambda: len(rampage.ledger) > 50, seconds=20, what="messages on their way")
    for host in on_rabbitmq.hosts:
        host.broker.block(there=False)
    seen = len(rampage.ledger)
    wait_until(lambda: len(rampage.ledger) >= seen + 360, seconds=30, what="messages without the broker")
    for host in on_rabbitmq.hosts:
        host.broker.open()
    rampage.wait_until_over()
    rampage.judge()


@ON_RABBITMQ
def test_without_redis_the_limits_are_kept_by_postgresql(on_rabbitmq: Site, ravage: Ravage) -> None:
    """All hosts lose it, the broker stays: dispatch goes on, and returns when Redis is back for 10 s."""
    site = on_rabbitmq
    rampage = ravage(site, accounts=12, messages=50, seconds=3)
    site.platform.faults(*rampage.fault_rules(), honour_keys=False)
    wait_until(lambda: len(rampage.ledger) > 50, seconds=20, what="messages on their way")
    assert mode(site) == "redis"

    for host in site.hosts:
        host.redis.block()
    wait_until(lambda: mode(site) == "postgres", seconds=TURN_SECONDS, what="the mode of PostgreSQL")
    seen = len(rampage.ledger)
    wait_until(lambda: len(rampage.ledger) >= seen + 120, seconds=20, what="messages without Redis")

    healed = time.monotonic()
    for host in site.hosts:
        host.redis.open()
    wait_until(lambda: mode(site) == "redis", seconds=RETURN_SECONDS, what="the mode of Redis")
    assert time.monotonic() - healed > 9, "it came back before Redis could be trusted"
    rampage.wait_until_over()
    rampage.judge()


def mode(site: Site) -> str:
    ((found,),) = query(site.services, "SELECT mode FROM messaging_dispatchepoch")
    return str(found)
